"""One run on a Ray cluster of this machine, with one fault of every kind.

`python tests/faults/everything.py [--instances N] [--keep DIR]` runs 2 methods on 4 data sets
with 2 seeds on Ray: on GrabCut, Berkeley, DAVIS and COCO-MVal where ../shared/data has them (or
ISEGBENCH_DATA), else four times on the samples. The first run has no faults, in one process. The
second runs on a Ray cluster of three nodes, one of them without CPUs, with one fault after the
other. Then every instance must have exactly one complete trace, equal to that of the first run;
only the instance that kills its worker every time is set aside. The exit status is 1 if one of
these checks fails. Two cores are enough; it takes some minutes.

With `--trials N [--seed S]` it makes N runs with a kill of the driver, N with one of a worker, N
with one of a raylet and N with one of Ray's control service (GCS), each at a random time. After
each it goes on as a user would, and it counts the traces that are lost, doubled or other than those
of the first run. The exit status is 1 if there are any.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
from setting import CLEAN_UP, STABLE, Benchmark, Driver, Nodes, until
from trials import campaign

from isegbench.harness.store.traces import read_traces, trace_files

#: Set in a process that has its own disk to fill.
OWN_DISK = "ISEGBENCH_FAULTS_OWN_DISK"


@contextmanager
def full_disk(benchmark: Benchmark, driver: Driver) -> Iterator[str]:
    """Fill the disk of the run; without a disk of its own, limit the size of its files to 0."""
    if os.environ.get(OWN_DISK):
        filler = benchmark.out.parent / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError as error:
                said = error.strerror or "full"
        yield f"disk full ({said})"
        filler.unlink()
    else:
        hard = resource.prlimit(driver.process.pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(driver.process.pid, resource.RLIMIT_FSIZE, (0, hard))
        yield "files may not grow (stands for a full disk)"


class Report:
    """The faults and their outcomes, one line for each."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._started = time.monotonic()
        self.lines: list[tuple[str, str, str]] = []
        self.failed = 0

    def add(self, fault: str, done: int, outcome: str, good: bool = True) -> None:
        self.failed += not good
        when = f"{time.monotonic() - self._started:.0f} s, {done}/{self._total}"
        self.lines.append((fault, when, outcome if good else f"WRONG: {outcome}"))
        print(f"  {fault}: {self.lines[-1][2]}", flush=True)

    def print(self) -> None:
        wide = max(len(line[0]) for line in self.lines)
        print(f"\n{'fault':{wide}}  {'when':>14}  outcome")
        for fault, when, outcome in self.lines:
            print(f"{fault:{wide}}  {when:>14}  {outcome}")


def inject_faults(benchmark: Benchmark, report: Report) -> tuple:
    """Cause the faults one after the other; the key of the instance that must be set aside."""
    total, keys = len(benchmark.keys), benchmark.keys
    by_method = {
        name: [key for key in keys if key[0] == name] for name in ("nearest-click", "geodesic")
    }
    deadly = by_method["nearest-click"][1]
    requests = {
        "segmentation fault": benchmark.request("segfault", by_method["geodesic"][2]),
        "worker hangs": benchmark.request("hang", by_method["nearest-click"][-1]),
        "GPU out of memory (simulated)": benchmark.requests / "geodesic" / "memory",
    }
    requests["GPU out of memory (simulated)"].touch()
    benchmark.request("kill", deadly)

    nodes = Nodes()
    driver = Driver(benchmark, nodes.address)
    until(lambda: benchmark.done() > total // 12 and bool(benchmark.workers()), driver)
    victim = benchmark.workers()[0]
    os.kill(victim, signal.SIGKILL)
    at = benchmark.done()
    until(lambda: benchmark.done() > at + 2, driver)
    report.add("worker killed (SIGKILL)", at, "replaced; the run goes on")

    at = benchmark.done()
    nodes.lose_one()
    until(lambda: benchmark.done() > at + 2, driver)
    report.add("node lost, another comes", at, "the run goes on there")

    driver.process.kill()
    driver.wait(30)
    at = benchmark.done()
    driver = Driver(benchmark, nodes.address)
    until(lambda: benchmark.done() > at + 2, driver)
    kept = f"Resuming: {at} finished traces" in driver.output()
    report.add("driver killed, started again", at, f"{at} traces kept; the run goes on", kept)

    with full_disk(benchmark, driver) as how:
        code = driver.wait(180)
    at, said = benchmark.done(), driver.output()
    good = code == 2 and "cannot be written" in said and "Traceback" not in said
    last = [line for line in said.splitlines() if "cannot be written" in line][-1:]
    report.add(
        how,
        at,
        f"stops with {code}: {''.join(last).partition('.parquet ')[2][:50] or said[-500:]}",
        good,
    )
    driver = Driver(benchmark, nodes.address)
    until(lambda: benchmark.done() > at + 2, driver)
    report.add("space again, started again", at, f"{at} traces kept; the run goes on")

    nodes.stop()
    code = driver.wait(180)
    at, said = benchmark.done(), driver.output()
    nodes.shut_down()
    # Ray may end the driver without a message, when the raylet of its node dies.
    report.add("Ray stopped", at, f"stops with {code}: {said[-200:]!r}", code != 0)

    nodes = Nodes()
    driver = Driver(benchmark, nodes.address)
    code = driver.wait(400)
    nodes.shut_down()
    good = code == 0
    report.add(
        "Ray and driver started again", at, "ran to its end" if good else driver.output(), good
    )
    for fault, request in requests.items():
        happened = not request.exists()
        outcome = "happened; tried again, nothing lost" if happened else "did not happen"
        report.add(fault, benchmark.done(), outcome, happened)
    return deadly


def check(benchmark: Benchmark, report: Report, reference: pd.DataFrame, deadly: tuple) -> None:
    """Every instance once, as in the run without faults; the deadly one set aside and reported."""
    found = pd.DataFrame(read_traces(benchmark.out)[STABLE])
    rows = sum(pq.read_metadata(path).num_rows for path in trace_files(benchmark.out))
    names = ["method", "dataset", "simulator", "seed", "instance"]

    def without(frame: pd.DataFrame) -> pd.DataFrame:
        mine = (frame[names] == list(deadly)).all(axis=1)
        return pd.DataFrame(frame[~mine]).reset_index(drop=True)

    aside = pd.DataFrame(found[(found[names] == list(deadly)).all(axis=1)])
    report.add(
        "an instance that always kills",
        benchmark.done(),
        f"set aside as {', '.join(aside['status'].unique())}",
        aside["status"].tolist() == ["worker-died"],
    )
    records = (benchmark.out / "failures.jsonl").read_text().splitlines()
    reasons = [json.loads(line) for line in records]
    others = Counter(r["status"] for r in reasons if r["instance"] != deadly[-1])
    report.add(
        "failures reported",
        benchmark.done(),
        f"{len(reasons)} of it, {dict(others) or 'nothing'} else",
        not others,
    )
    once = rows == len(found) and not found.duplicated([*names, "click"]).any()
    try:
        pd.testing.assert_frame_equal(without(found), without(reference), check_exact=True)
        same = f"equal to the first run's, {len(found)} rows"
    except AssertionError as error:
        once, same = False, f"other than the first run's: {error}"
    traces = len(found.drop_duplicates(names))
    report.add(f"{traces} traces, each once" if once else "traces", benchmark.done(), same, once)


def run(folder: Path, instances: int, trials: int, seed: int) -> int:
    benchmark = Benchmark(folder, instances)
    where = ", ".join(dataset.name for dataset in benchmark.plan.datasets)
    print(f"2 methods on {where}, 2 seeds: {len(benchmark.keys)} traces")
    started = time.monotonic()
    words = [sys.executable, "-m", "isegbench", "run", str(benchmark.reference)]
    subprocess.run([*words, "--out", str(folder / "reference")], check=True, capture_output=True)
    print(f"without faults, in one process: {time.monotonic() - started:.0f} s", flush=True)
    reference = pd.DataFrame(read_traces(folder / "reference")[STABLE])
    if trials:
        return 0 if campaign(benchmark, reference, trials, seed) else 1
    report = Report(len(benchmark.keys))
    deadly = inject_faults(benchmark, report)
    check(benchmark, report, reference, deadly)
    report.print()
    print(f"\n{'FAILED' if report.failed else 'passed'} in {time.monotonic() - started:.0f} s")
    return 1 if report.failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=6, help="of each data set")
    parser.add_argument("--trials", type=int, default=0, help="runs for each kind of kill")
    parser.add_argument("--seed", type=int, default=0, help="of the random times")
    parser.add_argument("--keep", type=Path, help="an empty folder for all files, kept")
    given = parser.parse_args()
    if OWN_DISK not in os.environ:
        with_own_disk()
    # Ray puts sockets below it, whose paths must be short.
    folder = given.keep or Path(tempfile.mkdtemp(prefix="iseg", dir="/tmp"))
    ray_folder = tempfile.mkdtemp(prefix="iseg", dir="/tmp")
    os.environ["RAY_TMPDIR"] = ray_folder
    os.environ["OMP_NUM_THREADS"] = "1"
    disk = folder / "disk"
    disk.mkdir(parents=True)
    if os.environ[OWN_DISK]:
        words = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
        subprocess.run(words, check=True)
    try:
        return run(folder, given.instances, given.trials, given.seed)
    finally:
        for end in reversed(CLEAN_UP):
            with suppress(Exception):
                end()
        if os.environ[OWN_DISK]:
            subprocess.run(["umount", "-l", str(disk)], check=False)
        shutil.rmtree(ray_folder, ignore_errors=True)
        if not given.keep:
            shutil.rmtree(folder, ignore_errors=True)


def with_own_disk() -> None:
    """Go on in a name space of mounts of our own, where a small disk can be mounted and filled."""
    unshare = shutil.which("unshare")
    trial = ["--mount", "--map-root-user", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    if unshare and subprocess.run([unshare, *trial], capture_output=True).returncode == 0:
        os.environ[OWN_DISK] = "1"
        os.execv(unshare, [unshare, *trial[:2], sys.executable, *sys.argv])
    os.environ[OWN_DISK] = ""


if __name__ == "__main__":
    sys.exit(main())
