"""The deepest pixel of a region, looked for only where it can be.

A distance transform of a frame costs milliseconds, and all that is wanted of it is its maximum.
So blocks of 4 x 4 pixels come first: transformed at a sixteenth of the cost, they bound the depth
of every pixel, since two pixels are as far apart as their blocks, give or take 3 * sqrt(2). In a
deep region that leaves a few blocks about its middle; only windows about those, wide enough to hold
what is nearest, are transformed in full.

A shallow region is eroded by squares: where one of side 2r + 1 fits about a pixel, and one of side
2r + 3 does not, the nearest pixel outside is r + 1 away along rows or columns, so between r + 1 and
sqrt(2) * (r + 1) in all. The largest square that fits anywhere says how deep the deepest pixel is
at least, a smaller one which pixels can be that deep. Those are looked at one ring of neighbours
after the other, all at once.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .transform import PLAIN, Distance, Window, depths, single_thread

#: (y, x) of a pixel.
Pixel = tuple[int, int]

#: Side of a block, and how far two pixels of one can be apart.
_BLOCK = 4
_ACROSS = (_BLOCK - 1) * math.sqrt(2)
#: Bounds in floating point are given this much room.
_ROOM = 1e-3
#: A region is deep where a block is so many blocks from the nearest that is not wholly inside.
_DEEP = 3.0
#: No pixel of a shallow region is so far from the nearest outside.
_RINGS = math.ceil(_DEEP * _BLOCK + _ACROSS)


#: Equals in squares of this side are looked at together.
_NEAR = 64


@dataclass(frozen=True)
class _Part:
    """A part of a region: (h, w) uint8, tight and not empty, that begins at (top, left)."""

    pixels: np.ndarray
    top: int
    left: int

    @property
    def window(self) -> Window:
        height, width = self.pixels.shape
        return Window(self.top, self.top + height, self.left, self.left + width)

    def eroded(self, radius: int) -> "_Part | None":
        """Where a square of side 2 * radius + 1 fits; None for nowhere."""
        if min(self.pixels.shape) <= 2 * radius:
            return None
        return _tight(_erode(self.pixels, 2 * radius + 1), self.top, self.left)

    def inside(self, pixels: Iterable[Pixel]) -> list[Pixel]:
        """Those that are in the part, each once, counted from (top, left)."""
        height, width = self.pixels.shape
        moved = {(y - self.top, x - self.left) for y, x in pixels}
        inside = [(y, x) for y, x in moved if 0 <= y < height and 0 <= x < width]
        return [(y, x) for y, x in inside if self.pixels[y, x]]


def _tight(pixels: np.ndarray, top: int, left: int) -> _Part | None:
    x, y, width, height = cv2.boundingRect(pixels)
    if width == 0:
        return None
    return _Part(pixels[y : y + height, x : x + width], top + y, left + x)


def _erode(pixels: np.ndarray, side: int, anchor: Pixel = (-1, -1)) -> np.ndarray:
    square = np.ones((side, side), np.uint8)
    return cv2.erode(
        pixels, square, anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=(0,)
    )


class Deepest:
    """The search for the deepest pixel of a region; see the module's text.

    region: (H, W) bool; outside the image counts as outside. avoid: (y, x) pixels that do not
    count, as if their depth were zero. `at_most` bounds the depth before `find` computes it; it is
    0.0 when no pixel counts.
    """

    def __init__(
        self, region: np.ndarray, avoid: Sequence[Pixel] = (), distance: Distance = "opencv"
    ) -> None:
        self._region = np.ascontiguousarray(region).view(np.uint8)
        self._avoid = avoid
        self._distance: Distance = distance
        self.at_most = 0.0
        part = _tight(self._region, 0, 0)
        if part is None or not self._counts(part):
            return
        self._part = part
        self._blocks = _block_depths(part.pixels)
        self.at_most = _BLOCK * float(self._blocks.max()) + _ACROSS + _ROOM

    def find(self) -> tuple[float, Pixel]:
        """(depth in pixels, (y, x)), of equals the first in row-major order; 0.0 at (0, 0) when
        no pixel counts."""
        if not self.at_most:
            return 0.0, (0, 0)
        if self._blocks.max() >= _DEEP:
            return self._among_blocks()
        squared, equals = self._among_rings(*self._shallow())
        if squared > PLAIN and self._distance == "opencv":
            return self._among_equals(math.sqrt(squared), equals)
        single = np.float32 if self._distance == "opencv" else np.float64
        return float(np.sqrt(single(squared))), min(equals)

    def _counts(self, part: _Part) -> bool:
        """Whether there is a pixel that need not be avoided."""
        lost = part.inside(self._avoid)
        return not lost or cv2.countNonZero(part.pixels) > len(lost)

    def _among_blocks(self) -> tuple[float, Pixel]:
        """As `find`, in a deep region."""
        part, avoided = self._part, self._part.inside(self._avoid)
        free = self._blocks.copy()
        for y, x in avoided:
            free[y // _BLOCK, x // _BLOCK] = 0
        least = _BLOCK * float(free.max()) - _ACROSS - _ROOM
        bounds = _BLOCK * self._blocks + (_ACROSS + _ROOM)
        candidates = (bounds >= least).astype(np.uint8)
        best, at = 0.0, (0, 0)
        for blocks in _windows(candidates, bounds):
            inside = blocks.slices(0, 0)
            bound = float(bounds[inside].max())
            if bound < best:
                continue
            window = Window(*(_BLOCK * end for end in blocks)).moved(part.top, part.left)
            window = window.within(part.window)
            found = self._depths(window, bound)
            # The blocks between candidates are not deeper, and need not be left out.
            for y, x in avoided:
                y, x = y + part.top, x + part.left
                if window.holds(y, x):
                    found[y - window.top, x - window.left] = 0
            depth, pixel = _first_maximum(found, window)
            if depth > best or (depth == best and pixel < at):
                best, at = depth, pixel
        return best, at

    def _among_equals(self, depth: float, equals: list[Pixel]) -> tuple[float, Pixel]:
        """The first of equally deep pixels that OpenCV finds deepest, with its depth."""
        near: dict[Pixel, list[Pixel]] = {}
        for y, x in equals:
            near.setdefault((y // _NEAR, x // _NEAR), []).append((y, x))
        found: list[tuple[float, Pixel]] = []
        for pixels in near.values():
            ys, xs = zip(*pixels, strict=True)
            window = Window(min(ys), max(ys) + 1, min(xs), max(xs) + 1)
            values = self._depths(window, depth)
            found += [(float(values[y - window.top, x - window.left]), (y, x)) for y, x in pixels]
        return min(found, key=lambda one: (-one[0], one[1]))

    def _depths(self, window: Window, reach: float) -> np.ndarray:
        """The depths of the pixels of a window, none of which is deeper than `reach`."""
        outer = window.grown(math.floor(reach)).within(self._part.window)
        found = depths(self._region, outer, self._distance)
        return found[window.slices(outer.top, outer.left)]

    def _shallow(self) -> tuple[np.ndarray, int]:
        """(N, 2) pixels, one of which is deepest, and the radius of a square that fits them all."""
        steps = [(0, self._part)]
        (radius, part), too_large = steps[0], _RINGS
        while too_large - radius > 1:
            more = min(radius + 1, (too_large - radius) // 2)
            smaller = part.eroded(more)
            if smaller is not None and self._counts(smaller):
                radius, part = radius + more, smaller
                steps.append((radius, part))
            else:
                too_large = radius + more
        needed = math.ceil((radius + 1) / math.sqrt(2)) - 1
        radius, part = next(step for step in reversed(steps) if step[0] <= needed)
        if radius < needed:
            part = part.eroded(needed - radius) or part
        # Booleans in one piece are searched much faster.
        flat = np.flatnonzero(part.pixels.ravel().view(bool))
        pixels = np.stack(np.divmod(flat, part.pixels.shape[1]), axis=1)
        for avoided in part.inside(self._avoid):
            pixels = pixels[(pixels != avoided).any(axis=1)]
        return pixels + np.array([part.top, part.left]), needed

    def _among_rings(self, pixels: np.ndarray, fits: int) -> tuple[int, list[Pixel]]:
        """The largest squared depth of some pixels (at least one), and all that have it.

        fits: the radius of a square that fits about each of them.
        """
        part = self._part
        around = np.pad(part.pixels, _RINGS)
        width, flat = around.shape[1], around.ravel()
        shift = np.array([_RINGS - part.top, _RINGS - part.left])
        at = (pixels + shift) @ np.array([width, 1])
        rings = iter(_rings(fits))
        deeper = at
        while deeper.size:
            at = deeper
            squared, steps = next(rings)
            for down, across in steps:
                deeper = deeper[flat[deeper + (down * width + across)] != 0]
        equals = np.stack(np.divmod(at, width), axis=1) - shift
        return squared, [(y, x) for y, x in equals.tolist()]


def _block_depths(pixels: np.ndarray) -> np.ndarray:
    """How many blocks each block of a part is from the nearest that is not wholly inside."""
    single_thread()
    whole = _erode(pixels, _BLOCK, anchor=(0, 0))[::_BLOCK, ::_BLOCK]
    padded = np.zeros((whole.shape[0] + 2, whole.shape[1] + 2), np.uint8)
    padded[1:-1, 1:-1] = whole
    return cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]


def _windows(candidates: np.ndarray, bounds: np.ndarray) -> Iterator[Window]:
    """Windows of blocks that hold all candidates, the one that can be deepest first."""
    _, _, found, _ = cv2.connectedComponentsWithStats(candidates, connectivity=8)
    windows = [Window(y, y + h, x, x + w) for x, y, w, h, _ in found[1:].tolist()]
    return iter(sorted(windows, key=lambda window: -float(bounds[window.slices(0, 0)].max())))


def _first_maximum(found: np.ndarray, window: Window) -> tuple[float, Pixel]:
    y, x = divmod(int(found.argmax()), found.shape[1])
    return float(found[y, x]), (window.top + y, window.left + x)


@lru_cache
def _rings(fits: int) -> list[tuple[int, list[tuple[int, int]]]]:
    """Steps (down, across) to neighbours by their squared length, the shortest first.

    Those within a square of radius `fits` are left out.
    """
    rings: dict[int, list[tuple[int, int]]] = {}
    for down in range(-_RINGS, _RINGS + 1):
        for across in range(-_RINGS, _RINGS + 1):
            squared = down**2 + across**2
            if max(abs(down), abs(across)) > fits and squared <= _RINGS**2:
                rings.setdefault(squared, []).append((down, across))
    return sorted(rings.items())
