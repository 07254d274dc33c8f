"""The released evaluation loops' rules, written plainly: what the engine is measured against.

The next click comes from two precise OpenCV transforms of the whole padded frame, scoring from
NumPy's logical operations, as in the evaluation code of f-BRS, RITM and their descendants.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from isegbench.harness.types import Click


def reference_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a (H, W) bool mask with (H, W) uint8 truth, 255 ignored."""
    counted, target = truth != 255, truth == 1
    common = np.logical_and(np.logical_and(mask, target), counted).sum()
    either = np.logical_and(np.logical_or(mask, target), counted).sum()
    return float(common / either)


def reference_click(mask: np.ndarray, truth: np.ndarray, clicks: Sequence[Click]) -> Click | None:
    """The middle of the larger error; None where nothing is wrong."""
    counted, target = truth != 255, truth == 1
    missed = np.logical_and(np.logical_and(target, np.logical_not(mask)), counted)
    spilled = np.logical_and(np.logical_and(np.logical_not(target), mask), counted)
    free = np.ones(mask.shape, bool)
    for click in clicks:
        if click.kind in ("positive", "negative"):
            free[click.pixel] = False
    missed_depths, spilled_depths = _depths(missed) * free, _depths(spilled) * free
    deepest_missed, deepest_spilled = missed_depths.max(), spilled_depths.max()
    if deepest_missed == deepest_spilled == 0:
        return None
    positive = deepest_missed > deepest_spilled
    depths, deepest = (
        (missed_depths, deepest_missed) if positive else (spilled_depths, deepest_spilled)
    )
    ys, xs = np.where(depths == deepest)
    return Click(int(ys[0]), int(xs[0]), "positive" if positive else "negative")


def reference_opening(opening: Sequence[Click], truth: np.ndarray) -> list[Click]:
    """An opening with its inside point placed by a transform of the whole frame."""
    placed = list(opening)
    for index, click in enumerate(placed):
        if click.kind == "positive":
            depths = _depths(truth == 1)
            y, x = np.unravel_index(depths.argmax(), depths.shape)
            placed[index] = Click(int(y), int(x), "positive")
    return placed


def _depths(region: np.ndarray) -> np.ndarray:
    padded = np.pad(region, ((1, 1), (1, 1)), "constant").astype(np.uint8)
    # Written as aligned as the simulator assumes: only ties depend on it (docs/protocols.md).
    memory = np.empty(padded.size + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    found = memory[start : start + padded.size].reshape(padded.shape)
    cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, dst=found)
    return found[1:-1, 1:-1]
