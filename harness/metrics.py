"""Metrics: pure functions on arrays and data frames."""

import numpy as np

from .types import IGNORED, OBJECT


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a predicted mask and the ground truth.

    mask: (H, W) bool. truth: (H, W) uint8 with 0 background, 1 object, 255 ignored; ignored
    pixels count for neither. Returns 1.0 when both are empty.

    >>> iou(np.array([[True, True, True]]), np.array([[1, 0, 255]], np.uint8))
    0.5
    """
    target = truth == OBJECT
    intersection = np.count_nonzero(mask & target)
    predicted = np.count_nonzero(mask & (truth != IGNORED))
    union = predicted + np.count_nonzero(target) - intersection
    return intersection / union if union else 1.0
