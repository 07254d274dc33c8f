"""Distance transforms of a part of a region, bit for bit those of the whole frame."""

from functools import lru_cache

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from ...types import Box
from ..rule import Distance, distances

# What Intel's IPP computes for a pixel depends on the pixel's column, counted from the left by 32
# and from the right by 8, on whether the last columns are the last, and on the alignment of the
# output in memory. Found by comparing windows with whole frames; `_windows_agree` checks it once.
_FROM_LEFT, _FROM_RIGHT, _LAST = 32, 8, 40


def depths(region: np.ndarray, window: Box, distance: Distance) -> np.ndarray:
    """How far the pixels of a window are from the nearest pixel outside the region.

    region: (H, W) uint8, 0 or 1; outside the image counts as outside. window: within the frame.
    The values are those of a transform of the whole frame wherever the nearest pixel outside lies
    in the window or beside it. Returns (h, w), float32, or float64 for "exact".

    The two distances differ only in how they break ties. OpenCV's precise transform is computed by
    Intel's IPP where OpenCV was built with it and has one thread (or a small frame). The last bit
    of IPP's result depends on where a pixel lies in the frame and on the alignment of the output
    in memory; that bit decides between pixels of equal distance. The released loops took the result
    as it came. Here it is always the result for the whole frame with one thread and 64-byte
    alignment (`rule.distances`), so that it depends on nothing but the masks and agrees with the
    recorded clicks of the released rule. Without IPP, OpenCV is exact and the first of equals wins.
    """
    if distance == "exact":
        # The padded frame's pixels are one further down and to the right.
        padded = _part_of_padded(region, window.grown(1).moved(1, 1))
        return np.asarray(distance_transform_edt(padded))[1:-1, 1:-1]
    single_thread()
    if _windows_agree():
        return _opencv(region, window)
    return distances(region)[window.slices]


def single_thread() -> None:
    """Set OpenCV to one thread, with which the released clicks were placed."""
    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)


def _opencv(region: np.ndarray, window: Box) -> np.ndarray:
    """The transform of a window, written to memory as aligned as in the whole frame's."""
    inner = window.moved(1, 1)  # in the padded frame
    frame_width = region.shape[1] + 2
    left = window.left // _FROM_LEFT * _FROM_LEFT
    end = inner.right + 2 + _LAST
    end = min(frame_width, end + (frame_width - end) % _FROM_RIGHT)
    outer = Box(inner.top - 1, left, inner.bottom + 1, end - 1)
    found = _aligned_as_in_frame(outer, frame_width)
    padded = _part_of_padded(region, outer)
    cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE, dst=found)
    return found[inner.moved(-outer.top, -outer.left).slices]


def _part_of_padded(region: np.ndarray, part: Box) -> np.ndarray:
    """A part of the frame that has a row and a column of zeros on every side."""
    height, width = region.shape
    padded = np.zeros((part.height, part.width), np.uint8)
    inside = part.common(Box(1, 1, height, width))
    padded[inside.moved(-part.top, -part.left).slices] = region[inside.moved(-1, -1).slices]
    return padded


def _aligned_as_in_frame(part: Box, frame_width: int) -> np.ndarray:
    """An uninitialised (h, w) float32 array whose rows are aligned in memory as in the frame.

    The frame begins at a multiple of 64 bytes.
    """
    line = 16  # values of 4 bytes
    step = part.width + (frame_width - part.width) % line
    memory = np.empty(part.height * step + 2 * line, np.float32)
    before = part.top * frame_width + part.left  # values of the frame before the part
    offset = (-memory.ctypes.data // 4 + before) % line
    rows = memory[offset : offset + part.height * step].reshape(part.height, step)
    return rows[:, : part.width]


@lru_cache(maxsize=1)
def _windows_agree() -> bool:
    """Whether this build of OpenCV gives windows the bits of the whole frame; on ellipses."""
    rng = np.random.default_rng(0)
    for height, width in ((203, 329), (180, 254)):
        frame = np.zeros((height, width), np.uint8)
        for y, x, a, b in rng.integers(5, (height, width, 90, 90), (9, 4)).tolist():
            cv2.ellipse(frame, (x, y), (a, b), a + b, 0, 360, 1, -1)
            cv2.ellipse(frame, (y, x), (b // 4, a // 3), a, 0, 360, 0, -1)
        whole = distances(frame)
        for top, left in rng.integers(0, (height - 41, width - 47), (12, 2)).tolist():
            inner = Box(top, left, top + 40, left + 46)
            expected = whole[inner.slices]
            outer = inner.grown(int(expected.max())).common(Box(0, 0, height - 1, width - 1))
            found = _opencv(frame, outer)[inner.moved(-outer.top, -outer.left).slices]
            if not np.array_equal(found, expected):
                return False
    return True
