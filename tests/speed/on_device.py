"""Assessing whole batches beside the processor's simulator: `python tests/speed/on_device.py`.

`on_device.assess` against a mask for each map, its IoU and `LargestError` in one thread, which is
what the engine does with maps on the processor. Maps are where --device says, so with `cuda` the
processor's way includes the transfer of each mask. Both are timed in turn on the same batches of
480 x 854 pixels, each the best of a few repetitions. The kinds of errors are those of
`simulation.py` that need no method; `mixed` has all of them in one batch.

Undecided clicks are those that `assess` leaves to the processor; the time these would take is not
in the time of `assess`. Decided ones are compared with the processor's.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from simulation import mistakes
from subjects import instances

from isegbench.harness.engine.score import checked_mask
from isegbench.harness.engine.score_on_gpu import UNDECIDED, assess
from isegbench.harness.metrics.scores import iou
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Click, Instance

SHAPE = (480, 854)
REPETITIONS = 5


class Batch(NamedTuple):
    """maps, truths: (B, H, W) on the device; instances and clicks for the processor's way."""

    maps: torch.Tensor
    truths: torch.Tensor
    instances: list[Instance]
    clicks: list[tuple[Click, ...]]


def batches(many: int, device: str) -> dict[str, Batch]:
    """By kind of error a batch of so many maps, on real masks brought to SHAPE."""
    rng = np.random.default_rng(0)
    truths = [ref.load().mask for ref in instances(many)[1]]
    kinds: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for index in range(many):
        truth = cv2.resize(
            truths[index % len(truths)], SHAPE[::-1], interpolation=cv2.INTER_NEAREST
        )
        wrong = mistakes((truth == 1).astype(np.uint8), rng)
        for kind, mask in wrong.items():
            kinds.setdefault(kind, []).append((mask, truth))
        kinds.setdefault("mixed", []).append((list(wrong.values())[index % len(wrong)], truth))
    return {kind: _batch(pairs, device, rng) for kind, pairs in kinds.items()}


def _batch(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], device: str, rng: np.random.Generator
) -> Batch:
    masks, truths = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
    image = np.zeros((*SHAPE, 3), np.uint8)
    loaded = [Instance("speed", str(i), str(i), image, truth) for i, truth in enumerate(truths)]
    maps = np.abs(masks - rng.uniform(0, 0.4, masks.shape)).astype(np.float32)
    return Batch(
        torch.from_numpy(maps).to(device),
        torch.from_numpy(truths).to(device),
        loaded,
        [tuple(LargestError().open(one, "click", rng)) for one in loaded],
    )


def on_processor(batch: Batch) -> list[tuple[float, Any]]:
    """IoU and click of each map, as the engine's thread finds them."""
    simulator, rng = LargestError(), np.random.default_rng(0)
    results = []
    for values, instance, clicks in zip(batch.maps, batch.instances, batch.clicks, strict=True):
        mask = checked_mask(values, SHAPE, 0.5)
        click = simulator.correct(instance, None, mask, clicks, rng)
        results.append((iou(mask, instance.mask), click))
    return results


def on_device(batch: Batch) -> list[tuple[float, Any]]:
    """IoU and click of each map, or UNDECIDED."""
    avoid = [[click.pixel for click in clicks] for clicks in batch.clicks]
    told = assess(batch.maps, batch.truths, 0.5, avoid)
    return [(one.iou, one.click()) for one in told]


def measure(many: int, device: str) -> dict[str, dict[str, float]]:
    """By kind: milliseconds a map on the processor and of `assess`, and how the clicks compare."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    rows = {}
    for kind, batch in batches(many, device).items():
        best = {on_processor: float("inf"), on_device: float("inf")}
        results = {}
        for _ in range(REPETITIONS + 1):  # The first warms up.
            for call in best:
                started = perf_counter()
                results[call] = call(batch)
                best[call] = min(best[call], perf_counter() - started)
        pairs = list(zip(results[on_processor], results[on_device], strict=True))
        rows[kind] = {
            "processor": 1000 * best[on_processor] / many,
            "assess": 1000 * best[on_device] / many,
            "undecided": sum(found[1] is UNDECIDED for _, found in pairs),
            "other": sum(
                score != found or (click != told and told is not UNDECIDED)
                for (score, click), (found, told) in pairs
            ),
        }
    return rows


def show(rows: dict[str, dict[str, float]], many: int, device: str) -> str:
    lines = [
        f"batches of {many} maps of {SHAPE[0]} x {SHAPE[1]} on {device}, PyTorch "
        f"{torch.__version__}, one thread, milliseconds a map:",
        f"  {'error':18} {'processor':>9} {'assess':>7} {'ratio':>6} {'undecided':>12} other",
    ]
    for kind, row in rows.items():
        lines.append(
            f"  {kind:18} {row['processor']:9.2f} {row['assess']:7.2f} "
            f"{row['processor'] / row['assess']:5.2f}x {row['undecided']:5.0f} of {many:3} "
            f"{row['other']:5.0f}"
        )
    undecided = sum(row["undecided"] for row in rows.values()) / (many * len(rows))
    lines.append(f"  undecided of all: {undecided:.1%}")
    if device.startswith("cuda"):
        lines.append(
            f"  peak of the device's memory: {torch.cuda.max_memory_allocated() >> 20} MiB"
        )
        lines.append(f"  {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()
    found = measure(arguments.batch, arguments.device)
    print(show(found, arguments.batch, arguments.device))
    sys.exit(any(row["other"] for row in found.values()))
