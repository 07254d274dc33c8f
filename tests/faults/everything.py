"""One run on a Ray cluster of this machine, with one fault of every kind.

`python tests/faults/everything.py [--instances N] [--keep DIR]` runs 2 methods on 4 data sets
with 2 seeds on Ray: on GrabCut, Berkeley, DAVIS and COCO-MVal where ../shared/data has them (or
ISEGBENCH_DATA), else four times on the samples. The first run has no faults, in one process. The
second runs on a Ray cluster of three nodes, one of them without CPUs, with one fault after the
other. Then every instance must have exactly one complete trace, equal to that of the first run;
only the instance that kills its worker every time is set aside. The exit status is 1 if one of
these checks fails. Two cores are enough; it takes some minutes.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.planning.config import make_config, read_config
from isegbench.harness.planning.plan import make_plan
from isegbench.harness.store.traces import finished, read_traces, trace_files

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
DISTURBED = Path(__file__).with_name("disturbed.py")
REAL = ["grabcut", "berkeley", "davis", "coco_mval"]
#: Set in a process that has its own disk to fill.
OWN_DISK = "ISEGBENCH_FAULTS_OWN_DISK"
#: The columns of a trace that do not depend on the clock.
STABLE = [
    *("method", "dataset", "simulator", "seed", "instance", "click"),
    *("y", "x", "kind", "iou", "status"),
]
TOML = """
methods = [
  {{name = "{file}:Disturbed", label = "nearest-click", inner = "nearest-click", {first}}},
  {{name = "{file}:Disturbed", label = "geodesic", inner = "geodesic", {second}}},
]
datasets = [{datasets}]
clicks = 4
seeds = 2
limit = {instances}
batch_size = 2
time_limit = 20
"""


class Benchmark:
    """The run: its files and its traces."""

    def __init__(self, folder: Path, instances: int) -> None:
        self.folder, self.out, self.requests = folder, folder / "disk" / "run", folder / "requests"
        for name in ("nearest-click", "geodesic"):
            (self.requests / name).mkdir(parents=True)
        data = Path(os.environ.get("ISEGBENCH_DATA", SHARED))
        self.real = all((data / name).is_dir() for name in ("GrabCut", "Berkeley", "DAVIS"))
        self._data = data if self.real else None
        self._instances = instances
        self.reference = self._write("reference.toml", disturbed=False)
        self.faulty = self._write("faulty.toml", disturbed=True)
        self.plan = make_plan(make_config(read_config(self.reference)))
        self.keys = [(*job_key(job), ref.name) for job in self.plan.jobs(set()) for ref in job.refs]

    def _write(self, name: str, disturbed: bool) -> Path:
        pause = {"nearest-click": 0.1, "geodesic": 0.0}
        options = {
            label: f'requests = "{self.requests / label}", pause = {seconds}' if disturbed else ""
            for label, seconds in pause.items()
        }
        copies = [f'{{name = "samples", label = "samples-{letter}"}}' for letter in "abcd"]
        text = TOML.format(
            file=DISTURBED,
            first=options["nearest-click"],
            second=options["geodesic"],
            datasets=", ".join(json.dumps(one) for one in REAL) if self.real else ", ".join(copies),
            instances=self._instances,
        ).replace(", }", "}")
        if self._data:
            text += f'data_root = "{self._data}"\n'
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def request(self, fault: str, key: tuple) -> Path:
        """Request a fault at the instance with this key."""
        method, dataset, _, seed, instance = key
        request = self.requests / method / f"{fault}-{method_seed(seed, dataset, instance)}"
        request.touch()
        return request

    def done(self) -> int:
        """Finished traces on the disk."""
        return len(finished(self.out)) if self.out.exists() else 0

    def workers(self) -> list[int]:
        """The worker processes that have a method now."""
        found = {int(path.name) for path in self.requests.glob("*/processes/*")}
        return [pid for pid in found if _command(pid).startswith(b"ray::")]


def job_key(job) -> tuple:
    """The first four parts of a trace's key."""
    return job.method.name, job.dataset_name, job.simulator_name, job.seed


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


#: Called at the end, the last one first, also when the script fails.
CLEAN_UP: list[Callable[[], object]] = []


class Nodes:
    """A Ray cluster of this machine: a head without CPUs, and nodes of one CPU."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        memory: dict[str, Any] = {"object_store_memory": 100 * 2**20}
        self._memory = memory
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
        CLEAN_UP.append(self._cluster.shutdown)
        self._nodes = [self._add_node() for _ in range(2)]

    def _add_node(self):
        """Add a node; a start that takes more than 30 seconds fails, so it is repeated."""
        for _ in range(4):
            with suppress(Exception):
                return self._cluster.add_node(num_cpus=1, **self._memory)
        return self._cluster.add_node(num_cpus=1, **self._memory)

    @property
    def address(self) -> str:
        address = self._cluster.address
        assert address is not None
        return address

    def lose_one(self) -> None:
        """Kill every process of a node; add another node."""
        self._cluster.remove_node(self._nodes.pop(0), allow_graceful=False)
        self._nodes.append(self._add_node())

    def stop(self) -> None:
        """Kill every process of Ray."""
        for node in self._cluster.list_all_nodes():
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)

    def shut_down(self) -> None:
        self._cluster.shutdown()


class Driver:
    """`isegbench run` in a process of its own."""

    def __init__(self, benchmark: Benchmark, address: str) -> None:
        words = [sys.executable, "-m", "isegbench", "run", str(benchmark.faulty)]
        words += ["--executor", "ray", "--workers", "2", "--ray-address", address]
        words += ["--out", str(benchmark.out)]
        self._log = benchmark.folder / f"driver-{time.monotonic_ns()}.log"
        with open(self._log, "wb") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT)
        CLEAN_UP.append(self.process.kill)

    def output(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float) -> int:
        return self.process.wait(seconds)


def until(condition: Callable[[], bool], driver: Driver, seconds: float = 180.0) -> None:
    """Wait until a condition holds, while the driver is alive."""
    end = time.monotonic() + seconds
    while not condition():
        if driver.process.poll() is not None:
            raise SystemExit(f"the run ended too early, with {driver.wait(1)}:\n{driver.output()}")
        if time.monotonic() > end:
            raise SystemExit(f"the run made no progress for {seconds:g} s:\n{driver.output()}")
        time.sleep(0.1)


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


def run(folder: Path, instances: int) -> int:
    benchmark = Benchmark(folder, instances)
    where = ", ".join(dataset.name for dataset in benchmark.plan.datasets)
    print(f"2 methods on {where}, 2 seeds: {len(benchmark.keys)} traces")
    started = time.monotonic()
    words = [sys.executable, "-m", "isegbench", "run", str(benchmark.reference)]
    subprocess.run([*words, "--out", str(folder / "reference")], check=True, capture_output=True)
    print(f"without faults, in one process: {time.monotonic() - started:.0f} s", flush=True)
    report = Report(len(benchmark.keys))
    deadly = inject_faults(benchmark, report)
    check(benchmark, report, pd.DataFrame(read_traces(folder / "reference")[STABLE]), deadly)
    report.print()
    print(f"\n{'FAILED' if report.failed else 'passed'} in {time.monotonic() - started:.0f} s")
    return 1 if report.failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=6, help="of each data set")
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
        return run(folder, given.instances)
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
