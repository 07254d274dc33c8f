"""What the ray executor costs and what it brings, on this machine.

`python tests/speed/ray_executor.py [scaling] [overhead] [memory]` does all three by default:

scaling   2 workers against 1, one thread each, alternately, on a convolutional network and on
          graph-cut, or on other methods (`--method ritm:weights=FILE`), with GrabCut's images
          (../shared/data, else the samples): the median of the pairs' ratios, by the clock, and
          in predictions a second of the time that a worker was not kept from a core by whatever
          else the machine does (Linux counts that), which means something on a busy one too.
          Starting processes and building the method is in neither.
overhead  milliseconds a prediction with a method that costs nothing, inline and on one worker:
          decoding, opening, scoring, simulating, sending, and writing traces to the disk.
memory    resident memory of the process that runs the command, while 100,000 instances of a
          method that costs nothing go through two workers.

It says the machine's load beside each figure: on a busy one those by the clock mean little.
"""

import argparse
import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console

from isegbench.harness import registry
from isegbench.harness.cli.progress import Progress
from isegbench.harness.dataset import Dataset
from isegbench.harness.executors.choose import make_executor
from isegbench.harness.method import Method
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.plan import make_plan
from isegbench.harness.types import Blob, InstanceRef, decode_array, encode_array
from isegbench.harness.workflows.benchmark import execute

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


class Network(Method):
    """A few convolutions at full resolution with fixed random weights: work, not a method."""

    def __init__(self) -> None:
        import torch

        torch.manual_seed(0)
        layers: list[torch.nn.Module] = []
        for before, after in ((3, 32), (32, 32), (32, 32), (32, 1)):
            layers += [torch.nn.Conv2d(before, after, 3, padding=1), torch.nn.ReLU()]
        self._layers = torch.nn.Sequential(*layers[:-1], torch.nn.Sigmoid()).eval()

    def predict_one(self, session):
        import torch

        with torch.inference_mode():
            image = torch.from_numpy(session.image.copy()).permute(2, 0, 1)[None] / 255
            return self._layers(image)[0, 0].numpy()


class Metered(Method):
    """A method under a meter: each process writes down what its predictions took, in `folder`.

    A line for every prediction: when it ended, by the clock; and for how long until then its
    thread had waited for a core.
    """

    def __init__(self, inner: str, folder: str) -> None:
        self._inner = Network() if inner == "network" else registry.methods.build(inner)
        self._folder = Path(folder)

    def begin(self, session):
        self._inner.begin(session)

    def predict(self, sessions):
        found = self._inner.predict(sessions)
        waited = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").read_text().split()
        with open(self._folder / str(os.getpid()), "a", encoding="utf-8") as file:
            file.write(f"{time.monotonic()} {int(waited[1]) / 1e9}\n")
        return found


class Nothing(Method):
    """Costs nothing: one map, made once for each image."""

    def begin(self, session):
        session.memory["map"] = np.zeros(session.shape, np.float32)

    def predict_one(self, session):
        return session.memory["map"]


class Copies(Dataset):
    """One small image, many times: as many instances as one likes, in little memory."""

    def __init__(self, count: int, side: int) -> None:
        self.name = "copies"
        rng = np.random.default_rng(0)
        image = rng.integers(0, 255, (side, side, 3)).astype(np.uint8)
        mask = np.zeros((side, side), np.uint8)
        mask[side // 4 : side // 2, side // 4 : side // 2] = 1
        blobs = Blob(encode_array(image), "image"), Blob(encode_array(mask), "mask")
        self._refs = [
            InstanceRef(self.name, f"copy{n}", "copy", *blobs, decode_array, decode_array)
            for n in range(count)
        ]

    def instances(self) -> Sequence[InstanceRef]:
        return self._refs


PARTS = ("scaling", "overhead", "memory")


def load() -> str:
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def scaling(methods: Sequence[str], repeats: int, instances: int) -> None:
    grabcut = (SHARED / "GrabCut").is_dir()
    data = {"datasets": "grabcut", "data_root": SHARED} if grabcut else {"datasets": "samples"}
    print(f"scaling: {instances} instances of {data['datasets']}, 2 clicks, {repeats} times each")
    for method in methods:
        speeds: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
        for _ in range(repeats):
            for workers in (1, 2):
                speeds[workers].append(_speed(method, data, workers, instances))
                clock, undisturbed = speeds[workers][-1]
                print(
                    f"  {method}, {workers}: {clock:.2f}/s by the clock, {undisturbed:.2f}/s "
                    f"while it had a core; {load()}",
                    flush=True,
                )
        for what, index in (("by the clock", 0), ("without waiting for a core", 1)):
            # Each pair ran one after the other; the machine drifts from pair to pair.
            pairs = zip(speeds[1], speeds[2], strict=True)
            ratios = [two[index] / one[index] for one, two in pairs]
            print(
                f"{method}: {median(ratios):.2f}x {what} ({min(ratios):.2f} to {max(ratios):.2f})",
                flush=True,
            )


def _speed(method: str, data: dict, workers: int, instances: int) -> tuple[float, float]:
    """Predictions a second of all workers: by the clock, and of the time they could have run."""
    with tempfile.TemporaryDirectory() as folder:
        named = partial(Metered, method, folder)
        values = {"methods": _Named, **data, "clicks": 2, "limit": instances}
        config = make_config(values | {"executor": "ray", "workers": workers})
        plan = make_plan(config)
        jobs = [replace(job, method=replace(job.method, build=named)) for job in plan.jobs(set())]
        for _ in make_executor(config).run(jobs):
            pass
        clock, undisturbed = 0.0, 0.0
        for file in Path(folder).iterdir():
            lines = [[float(x) for x in line.split()] for line in file.read_text().splitlines()]
            (began, before), (ended, after), count = lines[0], lines[-1], len(lines) - 1
            if count > 0:
                clock += count / (ended - began)
                undisturbed += count / (ended - began - (after - before))
        return clock, undisturbed


class _Named(Method):
    """What the plan is made with; workers build the metered one in its place."""

    def predict_one(self, session):
        raise NotImplementedError


def overhead(instances: int) -> None:
    for side in (64, 400):
        for executor in ("inline", "ray"):
            # The first run starts processes and imports; the longer one has them too.
            few, many = (_spent(executor, count, side) for count in (instances // 10, instances))
            each = (many - few) / (instances - instances // 10) / 20
            print(
                f"overhead, {executor}, {side} x {side} pixels, 20 clicks: "
                f"{1000 * each:.2f} ms a prediction; {load()}",
                flush=True,
            )


def _spent(executor: str, count: int, side: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        values = {"methods": Nothing, "datasets": Copies(count, side), "out": Path(folder, "run")}
        config = make_config(values | {"executor": executor, "workers": 1})
        started = time.perf_counter()
        execute(config)
        return time.perf_counter() - started


def memory(instances: int) -> None:
    data = Copies(instances, 16)
    marks = {instances // 100, instances // 10, instances // 2, instances}
    done, started = 0, time.perf_counter()
    print(f"memory: {instances} instances of 16 x 16 pixels, 1 click, 2 workers")
    print(f"  before: {_resident():.0f} MiB")
    progress = Progress(Console(file=io.StringIO()))

    def count(trace) -> None:
        nonlocal done
        progress.advance(trace)
        done += 1
        if done in marks:
            seconds = time.perf_counter() - started
            print(f"  {done:>7}: {_resident():.0f} MiB, {seconds:.0f} s; {load()}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        values = {"methods": Nothing, "datasets": data, "clicks": 1, "out": Path(folder, "run")}
        config = make_config(values | {"executor": "ray", "workers": 2})
        execute(config, progress.start, count, progress.watch)
    print(f"  after: {_resident():.0f} MiB")


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="*", help=", ".join(PARTS))
    parser.add_argument(
        "--method", action="append", help="network, or any method as isegbench run names it"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--instances", type=int, help="instead of each part's own number")
    given = parser.parse_args()
    chosen = given.what or PARTS
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"there is no {', '.join(unknown)}: say {', '.join(PARTS)}")
    import ray

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init("local", num_cpus=2, **quiet)
    if "scaling" in chosen:
        scaling(given.method or ("network", "graph-cut"), given.repeats, given.instances or 16)
    if "overhead" in chosen:
        overhead(given.instances or 200)
    if "memory" in chosen:
        memory(given.instances or 100_000)
    ray.shutdown()


if __name__ == "__main__":
    sys.exit(main())
