"""Where the middle of an error is: distance transforms of what is wrong."""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ..types import IGNORED, OBJECT, Click

Distance = Literal["opencv", "exact"]


def errors(mask: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(missed, spilled): (H, W) bool maps of false negatives and false positives.

    mask: (H, W) bool. truth: (H, W) uint8 with 0, 1, and 255 where nothing counts as wrong.
    """
    target = truth == OBJECT
    missed = target & ~mask
    spilled = mask & ~target & (truth != IGNORED)
    return missed, spilled


def bounding_box(region: np.ndarray) -> tuple[int, int, int, int] | None:
    """(ymin, ymax, xmin, xmax), inclusive, of a (H, W) bool region; None when it is empty."""
    rows = np.flatnonzero(region.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(region[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def innermost(
    region: np.ndarray, avoid: Sequence[tuple[int, int]] = (), distance: Distance = "opencv"
) -> tuple[float, tuple[int, int]]:
    """The pixel of a region farthest from everything outside it.

    region: (H, W) bool; outside the image counts as outside the region. avoid: (y, x) pixels that
    count as distance zero. Returns (distance in pixels, (y, x)); of equal distances the first in
    row-major order; (0.0, (0, 0)) when the region is empty or wholly avoided.

    distance: "opencv" is RITM's float32 transform, "exact" is f-BRS's float64 one (SciPy). They
    differ only in how they break ties: see `_opencv`.
    """
    box = bounding_box(region)
    if box is None:
        return 0.0, (0, 0)
    depths, (top, left) = _opencv(region) if distance == "opencv" else _exact(region, box)
    height, width = depths.shape
    for y, x in avoid:
        if 0 <= y - top < height and 0 <= x - left < width:
            depths[y - top, x - left] = 0.0
    y, x = divmod(int(depths.argmax()), width)
    return float(depths[y, x]), (y + top, x + left)


def _opencv(region: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """OpenCV's precise transform of the whole frame in float32, and the offset (0, 0).

    Where OpenCV was built with Intel's IPP and has one thread (or a small frame), IPP computes it,
    and the last bit of IPP's result depends on where a pixel lies in the frame and on the
    alignment of the output in memory; that bit decides between pixels of equal distance. The
    released loops saw whatever came; here it is pinned down (whole frame, one thread, 64-byte
    alignment), so that a result depends on nothing but the masks, and agrees with the recorded
    clicks of the released rule. Elsewhere OpenCV is exact and the first of equals wins.
    """
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    padded = np.pad(region.astype(np.uint8), 1)
    depths = cv2.distanceTransform(
        padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, dst=_aligned(padded.shape)
    )
    return depths[1:-1, 1:-1], (0, 0)


def _aligned(shape: tuple[int, ...], alignment: int = 64) -> np.ndarray:
    """An uninitialised float32 array that begins at a multiple of `alignment` bytes."""
    size = int(np.prod(shape)) * 4
    memory = np.empty(size + alignment, np.uint8)
    start = -memory.ctypes.data % alignment
    return memory[start : start + size].view(np.float32).reshape(shape)


def _exact(
    region: np.ndarray, box: tuple[int, int, int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """SciPy's exact transform of the region's box alone, and where the box begins.

    One pixel around the box suffices: the nearest pixel outside a region is never beyond it.
    """
    top, bottom, left, right = box
    padded = np.pad(region[top : bottom + 1, left : right + 1], 1)
    return np.asarray(distance_transform_edt(padded))[1:-1, 1:-1], (top, left)


def clicked_pixels(clicks: Sequence[Click]) -> list[tuple[int, int]]:
    """The pixels where positive and negative clicks have been placed."""
    return [click.pixel for click in clicks if click.kind in ("positive", "negative")]
