"""How fast the engine is beside a plain sequential loop: `make speed`.

For each method, on the same real images, with the same protocol and the same processor threads:

* the plain loop: one process, batch 1, every thread in the network, the network as loaded, whole
  frames transformed for each click (`reference.py`);
* the engine: on a CPU as many workers as threads, each with one, as `--workers` starts them; on a
  GPU one worker with a batch.

Both are started and warmed up first, then measured in turn, `--rounds` times; the best round of
each counts. One more round, with a clock at every stage, gives the breakdown. Weights are made by
formula: they do not matter for time, and no score is reported. Prints a table and writes the same
as JSON. Before it, simulation and scoring alone, and behind it what a growing number of instances
costs; `--only` picks parts.
"""

import argparse
import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

PARTS = ("simulation", "methods", "growth", "start")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a process is to measure. part: of the instances, (first, step)."""

    subject: Any
    weights: Path | None
    device: str
    plain: bool
    threads: int
    batch: int
    part: tuple[int, int]
    instances: int


def serve(connection: Connection, job: Job) -> None:
    """A process: build, warm up, then run whenever it is told to, and tell what came of it."""
    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    import cv2
    import growth
    import torch

    torch.set_num_threads(job.threads)
    cv2.setNumThreads(1)
    import loops
    import subjects

    subject = job.subject
    if job.plain:
        subjects.leave_networks_alone()
    method = subjects.build(subject, job.weights, job.device)
    _, refs = subjects.instances(job.instances)
    first, step = job.part
    refs = refs[first::step]

    def run(refs: Sequence[Any], budget: int, detailed: bool) -> loops.Outcome:
        if job.plain:
            return loops.sequential(method, refs, budget, subject.again, detailed)
        return loops.ours(method, refs, budget, job.batch, detailed)

    run(refs[:1], min(2, subject.clicks) if method.opening == "click" else subject.clicks, False)
    connection.send("ready")
    while (command := connection.recv()) is not None:
        outcome = run(refs, subject.clicks, command)
        gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0.0
        connection.send((outcome, growth.peak_mib(), gpu))


class Side:
    """One of the two loops, as processes that wait for the word."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        self._processes = []
        for job in jobs:
            here, there = context.Pipe()
            process = context.Process(target=serve, args=(there, job), daemon=True)
            process.start()
            there.close()
            self._pipes.append(here)
            self._processes.append(process)
        for pipe in self._pipes:
            pipe.recv()

    def run(self, detailed: bool = False) -> tuple[float, list[tuple[Any, float, float]]]:
        """(seconds of the wall, what each process answered)."""
        started = perf_counter()
        for pipe in self._pipes:
            pipe.send(detailed)
        answers = [pipe.recv() for pipe in self._pipes]
        return perf_counter() - started, answers

    def close(self) -> None:
        for pipe, process in zip(self._pipes, self._processes, strict=True):
            pipe.send(None)
            process.join()


def compare(subject: Any, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Measure one method both ways."""
    import subjects
    from gpu import Busy

    weights = subjects.write_weights(subject, folder)
    count = given.instances or subject.instances
    common = {
        "subject": subject,
        "weights": weights,
        "device": given.device,
        "instances": count,
    }
    workers = given.workers or (given.threads if given.device == "cpu" else 1)
    batch = given.batch or (1 if given.device == "cpu" else 32)
    plain = Side([Job(**common, plain=True, threads=given.threads, batch=1, part=(0, 1))])
    share = max(1, given.threads // workers)
    engine = Side(
        [
            Job(**common, plain=False, threads=share, batch=batch, part=(first, workers))
            for first in range(workers)
        ]
    )
    seconds: dict[str, list[float]] = {"plain": [], "engine": []}
    processor: dict[str, list[float]] = {"plain": [], "engine": []}
    busy: dict[str, list[float]] = {"plain": [], "engine": []}
    for _ in range(given.rounds):
        for name, side in (("plain", plain), ("engine", engine)):
            with Busy() as gpu:
                wall, answers = side.run()
            seconds[name].append(wall)
            busy[name].append(gpu.share or 0.0)
            processor[name].append(sum(outcome.processor for outcome, _, _ in answers))
    row: dict[str, Any] = {"method": subject.name, "clicks": subject.clicks, "instances": count}
    done: dict[str, dict[str, list]] = {}
    for name, side in (("plain", plain), ("engine", engine)):
        wall, answers = side.run(detailed=True)
        side.close()
        done[name] = {k: v for outcome, _, _ in answers for k, v in outcome.clicks.items()}
        row[name] = _summary(min(seconds[name]), wall, answers, done[name])
        row[name]["processor_seconds"] = min(processor[name])
        row[name]["gpu_busy"] = max(busy[name])
        row[name]["rounds"] = [round(s, 3) for s in seconds[name]]
        if name == "engine":
            traces = [trace for outcome, _, _ in answers for trace in outcome.traces]
            row[name]["store_share"] = _storing(traces) / min(seconds[name])
    row["ratio"] = row["engine"]["instances_per_second"] / row["plain"]["instances_per_second"]
    row["processor_ratio"] = row["plain"]["processor_seconds"] / row["engine"]["processor_seconds"]
    row["same_clicks"] = _agreement(done["plain"], done["engine"])
    return row


def _summary(best: float, wall: float, answers: list, clicks: dict[str, list]) -> dict[str, Any]:
    outcomes = [outcome for outcome, _, _ in answers]
    placed = sum(len(one) for one in clicks.values())
    total = sum(outcome.wall for outcome in outcomes)
    stages = {
        stage: sum(outcome.stages.get(stage, 0.0) for outcome in outcomes)
        for stage in ("decode", "pre", "network", "post", "score", "simulate")
    }
    return {
        "seconds": best,
        "detailed_seconds": wall,
        "instances_per_second": len(clicks) / best,
        "clicks_per_second": placed / best,
        "milliseconds_per_click": {k: 1000 * v / placed for k, v in stages.items()},
        # What the wall saw beside the method; stages that overlap it cost nothing.
        "own_share": 1 - sum(outcome.in_method for outcome in outcomes) / total,
        "peak_mib": sum(peak for _, peak, _ in answers),
        "gpu_mib": sum(gpu for _, _, gpu in answers),
    }


def _storing(traces: Sequence[Any]) -> float:
    """Seconds to store the traces as a run does, one after the other."""
    from isegbench.harness.store.traces import Store

    with tempfile.TemporaryDirectory() as folder:
        started = perf_counter()
        with Store(Path(folder)) as store:
            for trace in traces:
                store.add(trace)
        return perf_counter() - started


def _agreement(plain: dict[str, list], engine: dict[str, list]) -> float:
    """Share of the clicks that are equal up to the first that is not, of all."""
    equal = total = 0
    for name, clicks in plain.items():
        total += len(clicks)
        for one, other in zip(clicks, engine[name], strict=False):
            if tuple(one) != tuple(other):
                break
            equal += 1
    return equal / total


def show(row: dict[str, Any]) -> str:
    lines = [
        f"{row['method']:14} {row['ratio']:5.2f}x ({row['processor_ratio']:.2f}x processor)  "
        f"{row['plain']['instances_per_second']:7.3f} -> "
        f"{row['engine']['instances_per_second']:7.3f} instances/s  "
        f"{row['plain']['clicks_per_second']:7.2f} -> {row['engine']['clicks_per_second']:7.2f} "
        f"clicks/s  "
        f"same clicks {row['same_clicks']:.0%}  storing {row['engine']['store_share']:.2%}"
    ]
    for name in ("plain", "engine"):
        side = row[name]
        stages = "  ".join(f"{k} {v:.2f}" for k, v in side["milliseconds_per_click"].items())
        lines.append(
            f"    {name:6} ms/click: {stages}  | beside the method {side['own_share']:.1%}  "
            f"| {side['peak_mib']:.0f} MiB"
            + (f", GPU {side['gpu_mib']:.0f} MiB" if side["gpu_mib"] else "")
            + (f", busy {side['gpu_busy']:.0%}" if side["gpu_busy"] else "")
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--method", action="append", help="a row of the table; all by default")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--workers", type=int, help="processes of the engine")
    parser.add_argument("--batch", type=int, help="sessions per predict call")
    parser.add_argument("--instances", type=int, help="per method")
    parser.add_argument("--clicks", type=int, help="the budget of every instance")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path("results/runs/speed.json"))
    given = parser.parse_args()
    parts = given.only or PARTS
    found: dict[str, Any] = {"machine": _machine(given)}
    print(json.dumps(found["machine"]))
    if "simulation" in parts:
        import simulation

        found["simulation"] = simulation.measure()
        print(simulation.show(found["simulation"]), flush=True)
    if "methods" in parts:
        found["methods"] = _methods(given)
    if "growth" in parts:
        import growth

        found["growth"] = growth.measure()
        print(growth.show(found["growth"]), flush=True)
    if "start" in parts:
        import growth

        found["start"] = growth.start()
        print(f"isegbench --help: {found['start']:.2f} s of the processor, best of 5")
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
    print(f"written to {given.json}")


def _methods(given: argparse.Namespace) -> list[dict[str, Any]]:
    import subjects

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in subjects.SUBJECTS:
            if given.method and subject.name not in given.method:
                continue
            reason = subjects.missing(subject)
            if reason:
                print(f"{subject.name:14} left out: {reason}")
                rows.append({"method": subject.name, "left_out": reason})
                continue
            if given.clicks:
                subject = dataclasses.replace(subject, clicks=given.clicks)
            rows.append(compare(subject, given, Path(folder)))
            print(show(rows[-1]), flush=True)
    return rows


def _machine(given: argparse.Namespace) -> dict[str, Any]:
    from isegbench.harness.store import environment

    return {
        "hardware": environment.hardware(),
        "versions": environment.versions(),
        "load": os.getloadavg(),
        "given": {k: str(v) for k, v in vars(given).items()},
    }


if __name__ == "__main__":
    main()
