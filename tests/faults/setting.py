"""What the fault scripts disturb: a run, a Ray cluster of this machine, and a driver."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.planning.config import make_config, read_config
from isegbench.harness.planning.plan import make_plan
from isegbench.harness.store.traces import finished

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
DISTURBED = Path(__file__).with_name("disturbed.py")
REAL = ["grabcut", "berkeley", "davis", "coco_mval"]
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

        self._memory: dict[str, Any] = {"object_store_memory": 100 * 2**20}
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, **self._memory}
        )
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

    def pids(self, name: str) -> list[int]:
        """The processes of all nodes that Ray lists under this name."""
        nodes = self._cluster.list_all_nodes()
        return [p.process.pid for node in nodes for p in node.all_processes.get(name, [])]

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
