"""What a growing number of instances costs, in time and memory, and what the command's start."""

import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time

SIZES = (50, 500, 5000)


def measure(sizes: tuple[int, ...] = SIZES) -> list[dict[str, float]]:
    """For each number of instances, in a process of its own: milliseconds an instance of the wall
    and of the processor, and the peak of memory in MiB. `nearest-click`, 3 clicks, stored."""
    context = multiprocessing.get_context("spawn")
    rows = []
    for size in sizes:
        with context.Pool(1) as pool:
            rows.append(pool.apply(_run, (size,)))
    return rows


def _run(size: int) -> dict[str, float]:
    import numpy as np

    import isegbench
    from isegbench.harness.dataset import Dataset
    from isegbench.harness.types import instance_from_arrays

    rows, columns = np.indices((120, 160))
    image = np.zeros((120, 160, 3), np.uint8)
    mask = ((rows - 50) ** 2 + (columns - 70) ** 2 < 40**2).astype(np.uint8)
    mask[30:60, 60:120] = 1
    one = instance_from_arrays("growing", "0", image, mask)

    class Growing(Dataset):
        name = "growing"

        def instances(self):
            import dataclasses

            return [dataclasses.replace(one, name=str(number)) for number in range(size)]

    with tempfile.TemporaryDirectory() as folder:
        # Imports and the like are paid once, whatever the number.
        isegbench.run("nearest-click", Growing(), clicks=3, limit=5, out=Path(folder) / "first")
        started, spent = perf_counter(), process_time()
        isegbench.run("nearest-click", Growing(), clicks=3, out=Path(folder) / "run")
        wall, processor = perf_counter() - started, process_time() - spent
    return {
        "instances": size,
        "ms": 1000 * wall / size,
        "processor_ms": 1000 * processor / size,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """The most memory this process has held, in MiB.

    Where Linux tells it itself, since getrusage counts what the parent held before the start.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if found:
            return int(found[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def start() -> float:
    """Seconds of the processor that `isegbench --help` takes, the best of five."""
    command = [sys.executable, "-m", "isegbench", "--help"]
    best = float("inf")
    for _ in range(5):
        before = os.times()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = os.times()
        spent = after.children_user - before.children_user
        best = min(best, spent + after.children_system - before.children_system)
    return best


def show(rows: list[dict[str, float]]) -> str:
    lines = ["a growing number of instances, nearest-click, 3 clicks, stored:"]
    for row in rows:
        lines.append(
            f"  {row['instances']:5.0f}: {row['ms']:6.2f} ms an instance "
            f"({row['processor_ms']:.2f} of the processor), {row['peak_mib']:.0f} MiB"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(show(measure()))
    print(f"isegbench --help: {start():.2f} s of the processor")
