"""The deepest pixel of a region: the one farthest from everything outside the region.

A distance transform of a whole frame costs milliseconds, but only its maximum is needed. So the
search starts with blocks of 4 x 4 pixels. A transform of the blocks costs a sixteenth, and it
bounds the depth of every pixel: two pixels are as far apart as their blocks, up to 3 * sqrt(2).
Only windows about the blocks that can hold the deepest pixel are then transformed in full. In a
shallow region these are all blocks, and the window is the region's bounding box.
"""

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from ...types import Box
from ..rule import Distance
from .transform import depths, single_thread

#: (y, x) of a pixel.
Pixel = tuple[int, int]

#: Side of a block, and how far apart two pixels of one block can be.
_BLOCK = 4
_DIAGONAL = (_BLOCK - 1) * math.sqrt(2)
#: Tolerance for bounds in floating point.
_TOLERANCE = 1e-3


class Deepest:
    """The search for the deepest pixel of a region.

    region: (H, W) bool; outside the image counts as outside. avoid: (y, x) pixels that count as
    depth zero. `at_most` bounds the depth before `find` computes it; it is 0.0 when no pixel is
    left.
    """

    def __init__(
        self, region: np.ndarray, avoid: Sequence[Pixel] = (), distance: Distance = "opencv"
    ) -> None:
        single_thread()
        self._region = np.ascontiguousarray(region).view(np.uint8)
        self._distance: Distance = distance
        x, y, width, height = cv2.boundingRect(self._region)
        self._box = Box(y, x, y + height - 1, x + width - 1)
        self._avoid = {(y, x) for y, x in avoid if self._box.holds(y, x) and region[y, x]}
        self.at_most = 0.0
        if cv2.countNonZero(self._region) > len(self._avoid):
            self._blocks = _block_depths(self._region[self._box.slices])
            self.at_most = _BLOCK * float(self._blocks.max()) + _DIAGONAL + _TOLERANCE

    def find(self) -> tuple[float, Pixel]:
        """(depth in pixels, (y, x)); of equals the first in row-major order.

        (0.0, (0, 0)) when no pixel is left.
        """
        best, at = 0.0, (0, 0)
        if not self.at_most:
            return best, at
        for window, bound in self._windows():
            if bound < best:
                continue
            found = self._depths(window, bound)
            for y, x in self._avoid:
                if window.holds(y, x):
                    found[y - window.top, x - window.left] = 0
            row, column = divmod(int(found.argmax()), found.shape[1])
            depth, pixel = float(found[row, column]), (window.top + row, window.left + column)
            if depth > best or (depth == best and pixel < at):
                best, at = depth, pixel
        return best, at

    def _windows(self) -> Iterator[tuple[Box, float]]:
        """Windows, one of which has the deepest pixel, with a bound on the depth in each.

        The window with the largest bound comes first.
        """
        free = self._blocks.copy()
        for y, x in self._avoid:
            free[(y - self._box.top) // _BLOCK, (x - self._box.left) // _BLOCK] = 0
        at_least = _BLOCK * float(free.max()) - _DIAGONAL - _TOLERANCE
        bounds = _BLOCK * self._blocks + (_DIAGONAL + _TOLERANCE)
        candidates = (bounds >= at_least).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(candidates, connectivity=8)
        boxes = [Box(y, x, y + h - 1, x + w - 1) for x, y, w, h, _ in stats[1:].tolist()]
        bounded = [(blocks, float(bounds[blocks.slices].max())) for blocks in boxes]
        for blocks, bound in sorted(bounded, key=lambda each: -each[1]):
            pixels = Box(
                blocks.top * _BLOCK,
                blocks.left * _BLOCK,
                (blocks.bottom + 1) * _BLOCK - 1,
                (blocks.right + 1) * _BLOCK - 1,
            )
            yield pixels.moved(self._box.top, self._box.left).common(self._box), bound

    def _depths(self, window: Box, bound: float) -> np.ndarray:
        """The depths of the pixels of a window, none of which is deeper than `bound`."""
        outer = window.grown(math.floor(bound)).common(self._box)
        found = depths(self._region, outer, self._distance)
        return found[window.moved(-outer.top, -outer.left).slices]


def _block_depths(pixels: np.ndarray) -> np.ndarray:
    """How many blocks each block is from the nearest block that is not wholly inside.

    pixels: (H, W) uint8, 0 or 1.
    """
    square = np.ones((_BLOCK, _BLOCK), np.uint8)
    inside = cv2.erode(
        pixels, square, anchor=(0, 0), borderType=cv2.BORDER_CONSTANT, borderValue=(0,)
    )[::_BLOCK, ::_BLOCK]
    padded = np.zeros((inside.shape[0] + 2, inside.shape[1] + 2), np.uint8)
    padded[1:-1, 1:-1] = inside
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
