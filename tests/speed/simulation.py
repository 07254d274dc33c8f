"""Simulating and scoring beside the reference rule, on real masks with the errors predictions make.

The two are timed in turn on every case, each the best of a few repetitions, in one thread. Kinds of
errors: predictions of `nearest-click` and `graph-cut` as they go on; the truth eroded, dilated,
shifted, blotched by noise; nothing found at all, and everything.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from reference import reference_iou
from subjects import instances

from isegbench.harness.method import Session
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import methods
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.rule import next_click
from isegbench.harness.types import Click, Instance

REPETITIONS = 3
CLICKS = 8


class Case(NamedTuple):
    kind: str
    instance: Instance
    mask: np.ndarray
    clicks: tuple[Click, ...]


def mistakes(target: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Ways to be wrong about a (H, W) uint8 mask."""
    square, noisy = np.ones((9, 9), np.uint8), target ^ (rng.random(target.shape) < 0.3)
    return {
        "eroded by 4": cv2.erode(target, square),
        "dilated by 4": cv2.dilate(target, square),
        "shifted by 11": np.roll(target, (6, -9), axis=(0, 1)),
        "noise, median 5": cv2.medianBlur(noisy.astype(np.uint8), 5),
        "nothing found": np.zeros_like(target),
        "everything found": np.ones_like(target),
    }


def cases(many: int, following: Sequence[str] = ("nearest-click", "graph-cut")) -> Iterator[Case]:
    """Predictions to correct on so many real images."""
    rng = np.random.default_rng(0)
    for ref in instances(many)[1]:
        instance = ref.load()
        opening = tuple(LargestError().open(instance, "click", rng))
        for name in following:
            yield from _followed(name, instance, opening)
        wrong = mistakes((instance.mask == 1).astype(np.uint8), rng)
        for kind, mask in wrong.items():
            yield Case(kind, instance, mask > 0, opening)


def _followed(name: str, instance: Instance, clicks: tuple[Click, ...]) -> Iterator[Case]:
    method, rng = methods.build(name), np.random.default_rng(0)
    session = Session(instance.image, clicks)
    method.begin(session)
    for _ in range(CLICKS):
        (probabilities,) = method.predict([session])
        mask = np.asarray(probabilities) > method.threshold
        yield Case(name, instance, mask, session.clicks)
        click = LargestError().correct(instance, None, mask, session.clicks, rng)
        if click is None:
            return
        session.previous, session.clicks = probabilities, (*session.clicks, click)


def measure(many: int = 6) -> dict[str, dict[str, float]]:
    """By kind: cases, milliseconds of the reference and of ours, their ratio, equal clicks."""
    cv2.setNumThreads(1)
    simulator, rng = LargestError(), np.random.default_rng(0)
    rows: dict[str, dict[str, float]] = {}
    for case in cases(many):
        truth = case.instance.mask

        def plain(case: Case = case, truth: np.ndarray = truth) -> tuple:
            score = reference_iou(case.mask, truth)
            return score, next_click(case.mask, truth, case.clicks)

        def ours(case: Case = case, truth: np.ndarray = truth) -> tuple:
            score = iou(case.mask, truth)
            return score, simulator.correct(case.instance, None, case.mask, case.clicks, rng)

        (slow, expected), (fast, found) = _timed_in_turn(plain, ours)
        for kind in (case.kind, "all"):
            row = rows.setdefault(kind, dict.fromkeys(("cases", "plain", "ours", "same"), 0.0))
            row["cases"] += 1
            row["plain"] += 1000 * slow
            row["ours"] += 1000 * fast
            row["same"] += expected == found
    for row in rows.values():
        row["ratio"] = row["plain"] / row["ours"]
        row["plain"], row["ours"] = row["plain"] / row["cases"], row["ours"] / row["cases"]
    return rows


def _timed_in_turn(*calls: Callable[[], Any]) -> list[tuple[float, Any]]:
    """For each call the best of its times and what it returned."""
    best, results = [float("inf")] * len(calls), [None] * len(calls)
    for _ in range(REPETITIONS):
        for index, call in enumerate(calls):
            started = perf_counter()
            results[index] = call()
            best[index] = min(best[index], perf_counter() - started)
    return list(zip(best, results, strict=True))


def show(rows: dict[str, dict[str, float]]) -> str:
    lines = ["simulating and scoring, one thread, milliseconds a click:"]
    for kind, row in rows.items():
        lines.append(
            f"  {kind:18} {row['plain']:6.2f} -> {row['ours']:5.2f}  {row['ratio']:5.1f}x  "
            f"same {row['same']:.0f} of {row['cases']:.0f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(show(measure()))
