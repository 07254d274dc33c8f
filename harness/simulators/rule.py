"""The click rule of the common simulator, written plainly: two distance transforms and an argmax.

This is the rule of RITM's evaluation (Sofiiuk et al., 2021). `LargestError` places the same
clicks, bit for bit, and faster (`simulators/distance`); the tests compare the two.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ..types import BACKGROUND, OBJECT, Click

#: OpenCV's float32 transform, as RITM uses it, or SciPy's float64 one, as f-BRS does.
Distance = Literal["opencv", "exact"]


def next_click(
    mask: np.ndarray, truth: np.ndarray, clicks: Sequence[Click], distance: Distance = "opencv"
) -> Click | None:
    """The pixel of the largest error that is farthest from everything outside it.

    mask: (H, W) bool, the prediction. truth: (H, W) uint8 with 0 background, 1 object, 255 ignored.
    clicks: all so far, inside the image; no pixel is clicked twice. A tie between the two kinds of
    error is a negative click; of equal pixels the first in row-major order is clicked. None when
    no pixel is left to click.
    """
    false_negatives = distances((truth == OBJECT) & ~mask, distance)
    false_positives = distances((truth == BACKGROUND) & mask, distance)
    for click in clicks:
        if click.kind in ("positive", "negative"):
            false_negatives[click.pixel] = false_positives[click.pixel] = 0
    positive = false_negatives.max() > false_positives.max()
    larger = false_negatives if positive else false_positives
    if larger.max() == 0:
        return None
    y, x = np.unravel_index(larger.argmax(), larger.shape)
    return Click(int(y), int(x), "positive" if positive else "negative")


def distances(region: np.ndarray, distance: Distance = "opencv") -> np.ndarray:
    """Each pixel's distance to the nearest pixel outside a region; beyond the image is outside.

    region: (H, W) bool. Returns (H, W) float32, or float64 for "exact". The last bit of OpenCV's
    result may depend on the number of threads and on where in memory it is written, and that bit
    decides between equally deep pixels (docs/protocols.md, "Determinism"). So one thread is used,
    and the result begins at a multiple of 64 bytes.
    """
    padded = np.pad(region.astype(np.uint8), 1)
    if distance == "exact":
        return np.asarray(distance_transform_edt(padded))[1:-1, 1:-1]
    cv2.setNumThreads(1)
    memory = np.empty(padded.size + 16, np.float32)
    start = -memory.ctypes.data % 64 // 4
    result = memory[start : start + padded.size].reshape(padded.shape)
    cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, dst=result)
    return result[1:-1, 1:-1]
