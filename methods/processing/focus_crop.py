"""FocalClick's two decisions about a click: where to refine, and which change to keep.

Source: Chen et al., "FocalClick", CVPR 2022; constants and roundings of the released code.
"""

import cv2
import numpy as np

from ...harness.types import Box

#: A mask of fewer pixels has no box of its own.
_SMALL = 10
#: Half the side of the square about a click, in lengths of the object's box.
_REACH = 0.2

#: Rows and columns, both ends included; fractional before they are rounded.
_Sides = tuple[float, float, float, float]


def focus_box(
    mask: np.ndarray,
    previous: np.ndarray,
    click: tuple[int, int],
    inside: Box,
    expansion: float = 1.4,
) -> Box:
    """The box about what the newest click changed.

    mask, previous: (H, W) bool, the new coarse mask and the mask before the click. click: (row,
    column). inside: where the result must lie. Without a previous mask it is the coarse mask's
    box. For a change much smaller than the object it is a square about the click.
    """
    if not previous.any():
        sides = _sides(mask)
    else:
        changed = _sides(component_at(mask ^ previous, click))
        whole = _sides(mask)
        height, width = whole[1] - whole[0], whole[3] - whole[2]
        sides = changed
        if changed[1] - changed[0] < height / 3 or changed[3] - changed[2] < width / 3:
            reach = _REACH * max(height, width)
            (y, x) = click
            sides = (y - reach, y + reach, x - reach, x + reach)
    top, end = _expanded(sides[0], sides[1], expansion, mask.shape[0])
    left, right_end = _expanded(sides[2], sides[3], expansion, mask.shape[1])
    box = Box(
        max(top, inside.top),
        max(left, inside.left),
        min(end - 1, inside.bottom),
        min(right_end - 1, inside.right),
    )
    # The released code fails where nothing is left.
    return box if box.height > 0 and box.width > 0 else inside


def merged(new: np.ndarray, old: np.ndarray, click: tuple[int, int]) -> np.ndarray:
    """The old mask with only the new one's change at the click; (H, W) bool.

    Where the click changed nothing, all pixels that did not change count as the change: the mask
    may be turned over almost everywhere, as in the released code.
    """
    change = component_at(new ^ old, click)
    return old & ~change if old[click] else old | change


def component_at(mask: np.ndarray, pixel: tuple[int, int]) -> np.ndarray:
    """The 8-connected component of a mask at a pixel; all of the background where it is not in one.

    (H, W) bool -> (H, W) bool.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8))
    return labels == labels[pixel]


def _sides(mask: np.ndarray) -> _Sides:
    """First and last row, first and last column of a mask; the whole frame for a tiny one."""
    if np.count_nonzero(mask) < _SMALL:
        return 0, mask.shape[0], 0, mask.shape[1]
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(rows[0]), int(rows[-1]), int(columns[0]), int(columns[-1])


def _expanded(low: float, high: float, expansion: float, length: int) -> tuple[int, int]:
    """First and one past the last, rounded towards zero and clamped."""
    centre, half = 0.5 * (low + high), 0.5 * expansion * (high - low + 1)
    return max(0, int(centre - half)), min(length, int(centre + half))
