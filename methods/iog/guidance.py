"""Inside-outside guidance: clicks as two channels of a network's input.

Lengths are those of the released networks, whose view is 512 pixels wide; they are scaled in
proportion for other views.
"""

from dataclasses import dataclass

import numpy as np

from ...harness.simulators.distance.region import innermost
from ...harness.types import Box
from ..processing.boxes import box_of
from ..processing.gaussian_points import FULL_WIDTH, gaussian_map

#: Side of the released networks' view, and how far the corners lie outside the object in it.
RELEASED_SIDE = 512
OUTWARD = 10

INSIDE, OUTSIDE = 0, 1


@dataclass(frozen=True)
class OpeningInView:
    """The opening in a view: a point inside the object and the box around it, in view pixels."""

    inside: tuple[int, int]
    box: Box


def opening_of(mask: np.ndarray) -> OpeningInView | None:
    """The opening that the released scripts take from a view's ground truth; None if it is empty.

    mask: (side, side) bool. The inside point is the first, row by row, of the pixels farthest
    from everything outside the mask (exact distances).
    """
    if not mask.any():
        return None
    return OpeningInView(innermost(mask, distance="exact")[1], box_of(np.argwhere(mask)))


def corners(box: Box, side: int) -> np.ndarray:
    """(4, 2) of (y, x): a box's corners moved outward, left ones first, upper before lower.

    They stop at 0 and at `side`, one pixel beyond the view, as the released scripts' do.
    """
    outer = box.grown(round(OUTWARD * side / RELEASED_SIDE))
    top, left = max(outer.top, 0), max(outer.left, 0)
    bottom, right = min(outer.bottom, side), min(outer.right, side)
    return np.array([(top, left), (bottom, left), (top, right), (bottom, right)])


def guidance(inside: np.ndarray, outside: np.ndarray, side: int) -> np.ndarray:
    """(2, side, side) float32 in 0..255: Gaussians at the inside and at the outside points.

    inside, outside: (N, 2) of (y, x) in the view; N may be 0. One minimum and one maximum over
    both channels scale them; without any point they are zero.
    """
    heat = np.stack([_bumps(inside, side), _bumps(outside, side)])
    low, high = heat.min(), heat.max()
    return 255 * (heat - low) / (high - low + 1e-10)


def opening_guidance(opening: OpeningInView | None, side: int) -> np.ndarray:
    """The guidance of an opening, (2, side, side) float32 in 0..255; zero for None."""
    if opening is None:
        return np.zeros((2, side, side), np.float32)
    return guidance(np.array([opening.inside]), corners(opening.box, side), side)


def with_click(
    maps: np.ndarray, point: tuple[int, int], channel: int, *, truncate: bool = False
) -> np.ndarray:
    """Guidance with one more click: (2, side, side) float32 in 0..255, a new array.

    channel: INSIDE for a positive click, OUTSIDE for a negative one. truncate: cut both channels
    to whole numbers, as the released scripts do whenever they add a click.
    """
    added = maps / np.float32(255)
    bump = _bumps(np.array([point]), maps.shape[-1])
    np.maximum(added[channel], bump, out=added[channel])
    added *= 255
    return added.astype(np.uint8).astype(np.float32) if truncate else added


def _bumps(points: np.ndarray, side: int) -> np.ndarray:
    width = FULL_WIDTH * side / RELEASED_SIDE
    return gaussian_map(points, (side, side), width).astype(np.float32)
