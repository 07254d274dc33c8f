"""Many small runs on Ray, each with one kill at a random time: `everything.py --trials N`."""

import os
import random
import signal
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from setting import STABLE, Benchmark, Driver, Nodes

from isegbench.harness.store.traces import read_traces, trace_files

KINDS = ("driver", "worker", "raylet", "gcs_server")
#: A run that has not ended after so many starts is given up; its missing traces count as lost.
MAX_STARTS = 5
#: Seconds that one start of a run may take.
PATIENCE = 240
KEY = ["method", "dataset", "simulator", "seed", "instance"]


@dataclass
class Outcome:
    """The trials of one kind, summed up. hit: kills while the driver ran. starts: of drivers."""

    trials: int = 0
    hit: int = 0
    starts: int = 0
    lost: int = 0
    doubled: int = 0
    different: int = 0

    def add(self, other: "Outcome") -> None:
        for field in fields(self):
            total = getattr(self, field.name) + getattr(other, field.name)
            setattr(self, field.name, total)


class Campaign:
    """A cluster that is replaced when a part of it was killed, and the undisturbed run."""

    def __init__(self, benchmark: Benchmark, reference: pd.DataFrame) -> None:
        self._benchmark = benchmark
        self._reference = reference
        self._nodes: Nodes | None = None

    def nodes(self) -> Nodes:
        if self._nodes is None:
            self._nodes = Nodes()
        return self._nodes

    def stop_cluster(self) -> None:
        if self._nodes is not None:
            self._nodes.stop()
            self._nodes.shut_down()
            self._nodes = None

    def trial(self, kind: str | None, number: int, after: float, chance: random.Random) -> Outcome:
        """One run with one kill after so many seconds; kind None: a run without a kill."""
        benchmark = self._benchmark
        benchmark.out = benchmark.folder / "disk" / f"{kind or 'calm'}-{number}"
        outcome = Outcome(trials=1, starts=1)
        driver = Driver(benchmark, self.nodes().address)
        if kind:
            outcome.hit += self._kill(kind, driver, after, chance)
        code = end(driver)
        while code != 0 and outcome.starts < MAX_STARTS:
            if kind in ("raylet", "gcs_server"):
                self.stop_cluster()
            driver = Driver(benchmark, self.nodes().address)
            outcome.starts += 1
            code = end(driver)
        if kind in ("raylet", "gcs_server"):
            self.stop_cluster()
        compare(benchmark.out, self._reference, outcome)
        if code != 0:
            print(f"  the run ended with {code}:\n{driver.output()[-2000:]}")
        return outcome

    def _kill(self, kind: str, driver: Driver, after: float, chance: random.Random) -> bool:
        """Kill a process of this kind; whether the driver ran at that time."""
        time.sleep(after)
        if kind == "driver":
            pids = [driver.process.pid]
        elif kind == "worker":
            while not (pids := self._benchmark.workers()) and driver.process.poll() is None:
                time.sleep(0.05)
        else:
            pids = self.nodes().pids(kind)
        running = driver.process.poll() is None
        if running and pids:
            os.kill(chance.choice(pids), signal.SIGKILL)
        return running and bool(pids)


def end(driver: Driver) -> int:
    """The exit code of a driver; one that does not end is killed."""
    try:
        return driver.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        driver.process.kill()
        driver.wait(30)
        return -signal.SIGKILL


def compare(out: Path, reference: pd.DataFrame, outcome: Outcome) -> None:
    """Count the traces that differ from those of the undisturbed run."""
    files = trace_files(out)
    clicks = pd.concat([pq.read_table(path).to_pandas()[[*KEY, "click"]] for path in files])
    twice = clicks[clicks.astype(str).duplicated()]
    outcome.doubled += pd.DataFrame(twice).groupby(KEY).ngroups
    found = dict(list(read_traces(out)[STABLE].groupby(KEY)))
    for key, wanted in reference.groupby(KEY):
        if key not in found:
            outcome.lost += 1
        elif not found.pop(key).reset_index(drop=True).equals(wanted.reset_index(drop=True)):
            outcome.different += 1
    outcome.different += len(found)


def campaign(benchmark: Benchmark, reference: pd.DataFrame, trials: int, seed: int) -> bool:
    """So many trials of each kind, and a table of their outcomes; whether nothing was wrong."""
    chance = random.Random(seed)
    runs = Campaign(benchmark, reference)
    runs.nodes()
    started = time.monotonic()
    outcomes = {"none": runs.trial(None, 0, 0.0, chance)}
    seconds = time.monotonic() - started
    print(f"on Ray without a kill: {seconds:.0f} s", flush=True)
    outcomes |= {kind: Outcome() for kind in KINDS}
    # The driver needs some seconds to start: a kill before that tests nothing.
    for number in range(trials):
        for kind in KINDS:
            after = chance.uniform(0.2, 0.8) * seconds
            one = runs.trial(kind, number, after, chance)
            outcomes[kind].add(one)
            print(f"  {number} {kind} after {after:.1f} s: {one}", flush=True)
    runs.stop_cluster()
    print(f"\n{'killed':10}" + "".join(f"{field.name:>11}" for field in fields(Outcome)))
    for kind, outcome in outcomes.items():
        print(f"{kind:10}" + "".join(f"{getattr(outcome, f.name):>11}" for f in fields(Outcome)))
    return not any(o.lost or o.doubled or o.different for o in outcomes.values())
