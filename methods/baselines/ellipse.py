"""The ellipse in the box: a baseline that does not read the image."""

from typing import Literal

import numpy as np

from ...harness.errors import MethodError
from ...harness.method import Method, Session
from ..processing.boxes import bounding_box


class Ellipse(Method):
    """Calls the ellipse inscribed in the box the object: the baseline of methods with a box.

    The image is not read. A pixel is object when its centre lies in the ellipse that touches the
    four outer sides of the box's pixels. opening: `box`, two corners; `inside-outside` has
    the inside click as well and does not use it, for comparisons with methods of three clicks.
    """

    corrections = False
    departures = ("needs no image: every object is the ellipse in its box",)

    def __init__(self, *, opening: Literal["box", "inside-outside"] = "box") -> None:
        self.opening = opening

    def predict_one(self, session: Session) -> np.ndarray:
        """(H, W) float32, 0 or 1. Raises MethodError when no two corners were given."""
        box = bounding_box(session.shape, session.clicks)
        if box is None:
            raise MethodError("ellipse needs the two corners of a box")
        found = np.zeros(session.shape, np.float32)
        tall, wide = box.height, box.width
        # Doubled offsets from the middle, multiplied out: whole numbers, so nothing is rounded.
        inside = np.add.outer((wide * _offsets(tall)) ** 2, (tall * _offsets(wide)) ** 2)
        found[box.slices] = inside <= (tall * wide) ** 2
        return found


def _offsets(length: int) -> np.ndarray:
    """(length,) int64: twice the distances of pixel centres from the middle."""
    return 2 * np.arange(length, dtype=np.int64) + 1 - length
