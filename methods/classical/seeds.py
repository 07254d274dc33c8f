"""From clicks to seeds: the pixels whose labels a method without weights takes as given."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ...harness.types import Click
from ..processing.boxes import bounding_box, pixel_inside


@dataclass(frozen=True)
class Seeds:
    """Pixels with a given label.

    positive, negative: (H, W) bool, disjoint; either may be empty.
    """

    positive: np.ndarray
    negative: np.ndarray


@lru_cache(maxsize=32)
def disc(radius: int) -> np.ndarray:
    """(2r + 1, 2r + 1) bool: pixels within `radius` of the centre, the circle included."""
    offsets = np.arange(-radius, radius + 1)
    return np.add.outer(offsets**2, offsets**2) <= radius**2


def draw_seeds(shape: tuple[int, int], clicks: Sequence[Click], radius: int) -> Seeds:
    """The seeds of `clicks` on an image of `shape` (H, W).

    * A positive or negative click is a disc of `radius` pixels, cut off at the image's border (a
      click outside the image moves to its nearest pixel). Where discs overlap the later wins.
    * Corner and extreme clicks span a box, which is tight around the object: whatever lies
      outside it is background. Discs are drawn over it.
    * A box without a positive click gets one at its centre.
    * Without a box, each side of the image's frame (its outermost pixels) is background until a
      positive disc touches it: most objects lie wholly inside the photograph, and a positive click
      at a border marks one that does not. If no negative seed remained, the whole frame is
      background where no disc covers it.
    """
    labels = np.zeros(shape, np.int8)
    box = bounding_box(shape, clicks)
    discs = [c for c in clicks if c.kind in ("positive", "negative")]
    if box is not None:
        labels[...] = -1
        labels[box.slices] = 0
        if not any(c.kind == "positive" for c in discs):
            centre = Click((box.top + box.bottom) / 2, (box.left + box.right) / 2, "positive")
            discs.insert(0, centre)
    for click in discs:
        _stamp(labels, click, radius)
    if box is None:
        _stamp_frame(labels)
    return Seeds(labels > 0, labels < 0)


def _stamp_frame(labels: np.ndarray) -> None:
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    untouched = [side for side in sides if not (side > 0).any()]
    for side in untouched if untouched or (labels < 0).any() else sides:
        side[side == 0] = -1


def _stamp(labels: np.ndarray, click: Click, radius: int) -> None:
    row, column = pixel_inside(labels.shape, click)
    top, left = max(row - radius, 0), max(column - radius, 0)
    view = labels[top : row + radius + 1, left : column + radius + 1]
    first_row, first_column = top - (row - radius), left - (column - radius)
    shape = disc(radius)[
        first_row : first_row + view.shape[0], first_column : first_column + view.shape[1]
    ]
    view[shape] = 1 if click.kind == "positive" else -1
