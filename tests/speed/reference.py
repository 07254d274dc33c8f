"""The released evaluation loops' rules, written plainly: what the engine is measured against.

The next click and the inside point come from precise OpenCV transforms of the whole padded frame
(`harness/simulators/rule.py`), scoring from NumPy's logical operations, as in the evaluation code
of f-BRS, RITM and their descendants.
"""

from collections.abc import Sequence

import numpy as np

from isegbench.harness.simulators.rule import next_click
from isegbench.harness.types import Click


def reference_iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a (H, W) bool mask with (H, W) uint8 truth, 255 ignored."""
    counted, target = truth != 255, truth == 1
    common = np.logical_and(np.logical_and(mask, target), counted).sum()
    either = np.logical_and(np.logical_or(mask, target), counted).sum()
    return float(common / either)


def reference_opening(opening: Sequence[Click], truth: np.ndarray) -> list[Click]:
    """An opening with its inside point placed by the plain rule."""
    inside = next_click(np.zeros(truth.shape, bool), truth, ())
    assert inside is not None, "the truth holds an object"
    return [inside if click.kind == "positive" else click for click in opening]
