"""Distance transforms of a part of a region, bit for bit those of the whole frame."""

from functools import lru_cache
from typing import Literal, NamedTuple

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

#: OpenCV's float32 transform, as RITM uses it, or SciPy's float64 one, as f-BRS does.
Distance = Literal["opencv", "exact"]

# What Intel's IPP makes of a pixel depends on where it stands among 32 columns counted from the
# left and 8 from the right, on the last columns being the last, and on where in memory it is
# written. Found by comparing windows with whole frames; `_windows_agree` tries it once.
_FROM_LEFT, _FROM_RIGHT, _LAST = 32, 8, 40

#: Up to this squared distance OpenCV's result is the root, rounded; its last bit is sure.
PLAIN = 36


class Window(NamedTuple):
    """Rows top to bottom and columns left to right of the frame, the ends not included."""

    top: int
    bottom: int
    left: int
    right: int

    def grown(self, margin: int) -> "Window":
        """The same with `margin` more pixels on every side; it may end outside the frame."""
        top, bottom, left, right = self
        return Window(top - margin, bottom + margin, left - margin, right + margin)

    def moved(self, down: int, right: int) -> "Window":
        """The same so many pixels further down and to the right."""
        return Window(self.top + down, self.bottom + down, self.left + right, self.right + right)

    def holds(self, y: int, x: int) -> bool:
        """Whether a pixel is in it."""
        return self.top <= y < self.bottom and self.left <= x < self.right

    def within(self, other: "Window") -> "Window":
        """What both have in common; they must overlap."""
        return Window(
            max(self.top, other.top),
            min(self.bottom, other.bottom),
            max(self.left, other.left),
            min(self.right, other.right),
        )

    def slices(self, top: int, left: int) -> tuple[slice, slice]:
        """To cut the window out of an array that begins at (top, left) of the frame."""
        return (
            slice(self.top - top, self.bottom - top),
            slice(self.left - left, self.right - left),
        )


def depths(region: np.ndarray, window: Window, distance: Distance) -> np.ndarray:
    """How far the pixels of a window are from the nearest pixel outside the region.

    region: (H, W) uint8, 0 or 1; outside the image counts as outside. window: within the frame.
    The values are those of a transform of the whole frame wherever the nearest pixel outside lies
    in the window or beside it. Returns (h, w), float32, or float64 for "exact".

    The two distances differ only in how they break ties. OpenCV's precise transform is computed by
    Intel's IPP where OpenCV was built with it and has one thread (or a small frame), and the last
    bit of IPP's result depends on where a pixel lies in the frame and on the alignment of the
    output in memory; that bit decides between pixels of equal distance. The released loops saw
    whatever came; here it is pinned down to what the whole frame gives with one thread and 64-byte
    alignment, so that a result depends on nothing but the masks, and agrees with the recorded
    clicks of the released rule. Elsewhere OpenCV is exact and the first of equals wins.
    """
    if distance == "exact":
        return _exact(region, window)
    single_thread()
    if _windows_agree():
        return _opencv(region, window)
    whole = Window(0, region.shape[0], 0, region.shape[1])
    return _opencv(region, whole)[window.slices(0, 0)]


def single_thread() -> None:
    """Have OpenCV use one thread, as the released clicks were placed with."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _exact(region: np.ndarray, window: Window) -> np.ndarray:
    padded, top, left = _padded(
        region, window.top, window.bottom + 2, window.left, window.right + 2
    )
    return np.asarray(distance_transform_edt(padded))[window.slices(top - 1, left - 1)]


def _opencv(region: np.ndarray, window: Window) -> np.ndarray:
    """The transform of a window, written to memory as aligned as in the whole frame's."""
    width = region.shape[1] + 2
    left = window.left // _FROM_LEFT * _FROM_LEFT
    right = window.right + 2 + _LAST
    right = min(width, right + (width - right) % _FROM_RIGHT)
    top, bottom = window.top, window.bottom + 2
    padded, _, _ = _padded(region, top, bottom, left, right)
    found = _as_in_frame(bottom - top, right - left, width, top * width + left)
    cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, dst=found)
    return found[window.slices(top - 1, left - 1)]


def _padded(
    region: np.ndarray, top: int, bottom: int, left: int, right: int
) -> tuple[np.ndarray, int, int]:
    """A part of the frame that has a row and column of zeros on every side; where it begins.

    Coordinates are those of the padded frame, one more than the frame's.
    """
    height, width = region.shape
    padded = np.zeros((bottom - top, right - left), np.uint8)
    rows, columns = max(top, 1), max(left, 1)
    part = region[rows - 1 : min(bottom - 1, height), columns - 1 : min(right - 1, width)]
    padded[rows - top :, columns - left :][: part.shape[0], : part.shape[1]] = part
    return padded, top, left


def _as_in_frame(height: int, width: int, frame_width: int, start: int) -> np.ndarray:
    """An uninitialised (height, width) float32 array, each row of which is aligned in memory as a
    part of a frame that begins at a multiple of 64 bytes would be.

    start: how many values of the frame come before the part.
    """
    line = 16  # values of 4 bytes
    step = width + (frame_width - width) % line
    memory = np.empty(height * step + 2 * line, np.float32)
    offset = (-memory.ctypes.data // 4 + start) % line
    return memory[offset : offset + height * step].reshape(height, step)[:, :width]


@lru_cache(maxsize=1)
def _windows_agree() -> bool:
    """Whether this OpenCV gives windows the bits of the whole frame; tried once, on ellipses."""
    rng = np.random.default_rng(0)
    for height, width in ((203, 329), (180, 254)):
        frame = np.zeros((height, width), np.uint8)
        for y, x, a, b in rng.integers(5, (height, width, 90, 90), (9, 4)).tolist():
            cv2.ellipse(frame, (x, y), (a, b), a + b, 0, 360, 1, -1)
            cv2.ellipse(frame, (y, x), (b // 4, a // 3), a, 0, 360, 0, -1)
        everything = Window(0, height, 0, width)
        whole = _opencv(frame, everything)
        for top, left in rng.integers(0, (height - 41, width - 47), (12, 2)).tolist():
            inner = Window(top, top + 41, left, left + 47)
            expected = whole[inner.slices(0, 0)]
            outer = inner.grown(int(expected.max())).within(everything)
            found = _opencv(frame, outer)[inner.slices(outer.top, outer.left)]
            if not np.array_equal(found, expected):
                return False
        squares = np.rint(whole.astype(np.float64) ** 2)
        near = squares <= PLAIN
        if not np.array_equal(whole[near], np.sqrt(squares[near].astype(np.float32))):
            return False
    return True
