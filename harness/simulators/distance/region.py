"""What is wrong with a mask, and the innermost pixel of a region."""

from collections.abc import Sequence

import numpy as np

from ...types import BACKGROUND, OBJECT, Box, Click
from ..rule import Distance
from .deepest import Deepest


def errors(mask: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(false_negatives, false_positives): two (H, W) bool maps.

    mask: (H, W) bool. truth: (H, W) uint8 with 0, 1, and 255 where nothing counts as wrong.
    """
    # Of two booleans the left is greater where it alone is true.
    return (truth == OBJECT) > mask, mask & (truth == BACKGROUND)


def bounding_box(region: np.ndarray) -> Box | None:
    """The tight box of a (H, W) bool region; None when it is empty."""
    rows = np.flatnonzero(region.any(axis=1))
    if rows.size == 0:
        return None
    columns = np.flatnonzero(region[rows[0] : rows[-1] + 1].any(axis=0))
    return Box(int(rows[0]), int(columns[0]), int(rows[-1]), int(columns[-1]))


def innermost(
    region: np.ndarray, avoid: Sequence[tuple[int, int]] = (), distance: Distance = "opencv"
) -> tuple[float, tuple[int, int]]:
    """The pixel of a region farthest from everything outside it.

    region: (H, W) bool; outside the image counts as outside the region. avoid: (y, x) pixels that
    count as distance zero. Returns (distance in pixels, (y, x)); of equal distances the first in
    row-major order; (0.0, (0, 0)) when the region is empty or wholly avoided.

    distance: "opencv" is RITM's float32 transform, "exact" is f-BRS's float64 one (SciPy). They
    differ only in how they break ties: see `transform.depths`.
    """
    return Deepest(region, avoid, distance).find()


def clicked_pixels(clicks: Sequence[Click]) -> list[tuple[int, int]]:
    """The pixels where positive and negative clicks have been placed."""
    return [click.pixel for click in clicks if click.kind in ("positive", "negative")]
