"""Where the middle of an error is: exact distance transforms, computed only where it matters."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..types import IGNORED, OBJECT, Click


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
    region: np.ndarray, avoid: Sequence[tuple[int, int]] = ()
) -> tuple[float, tuple[int, int]]:
    """The pixel of a region farthest from everything outside it.

    region: (H, W) bool; outside the image counts as outside the region. avoid: (y, x) pixels that
    count as distance zero. Returns (distance in pixels, (y, x)); of equal distances the first in
    row-major order; (0.0, (0, 0)) when the region is empty or wholly avoided.

    OpenCV's precise Euclidean transform in float32, as the released RITM clicker uses. Only the
    region's box with one pixel around it is transformed: the nearest pixel outside a region is
    never beyond that border.
    """
    box = bounding_box(region)
    if box is None:
        return 0.0, (0, 0)
    top, bottom, left, right = box
    inside = region[top : bottom + 1, left : right + 1]
    padded = np.pad(inside.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    for y, x in avoid:
        if top <= y <= bottom and left <= x <= right:
            distance[y - top, x - left] = 0.0
    y, x = divmod(int(distance.argmax()), distance.shape[1])
    return float(distance[y, x]), (y + top, x + left)


def clicked_pixels(clicks: Sequence[Click]) -> list[tuple[int, int]]:
    """The pixels where positive and negative clicks have been placed."""
    return [click.pixel for click in clicks if click.kind in ("positive", "negative")]
