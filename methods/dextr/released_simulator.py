"""The clicks of DEXTR's released evaluation, found in its crop of the ground truth."""

import random
from collections.abc import Sequence

import cv2
import numpy as np

from ...harness.errors import SimulatorError
from ...harness.simulator import Simulator
from ...harness.types import OBJECT, Click, Instance
from ..processing.boxes import box_of, crop
from .dextr import MARGIN, SIDE, released_click


class DEXTRReleased(Simulator):
    """The extreme points that `dextr:protocol=released` needs; no corrections.

    The left-, right-, top- and bottommost object pixels of the ground truth cropped and resized
    to 512 x 512. Python's generator, seeded with 0 for each instance, chooses among equals. The
    clicks also encode the object's tight box in the image; see `dextr.released_click`.
    """

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if opening != "extreme-points":
            raise SimulatorError(f"dextr-released plays extreme-points only, not {opening}")
        target = instance.mask == OBJECT
        tight = box_of(np.argwhere(target))
        box = tight.grown(MARGIN)
        resized = cv2.resize(
            crop(target.astype(np.uint8), box), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST
        )
        points = _extremes(resized, random.Random(0))
        if points is None:
            raise SimulatorError("the object vanishes when resized to 512 x 512")
        scale = np.array([box.height, box.width]) / SIDE
        pixels = np.floor(np.array(points) * scale).astype(int) + np.array([box.top, box.left])
        # Where resizing skips the outermost row or column, the crop's extreme is not the image's.
        pixels[0, 1], pixels[1, 1] = tight.left, tight.right
        pixels[2, 0], pixels[3, 0] = tight.top, tight.bottom
        return [
            released_click((int(y), int(x)), point)
            for (y, x), point in zip(pixels, points, strict=True)
        ]

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        return None


def _extremes(mask: np.ndarray, rng: random.Random) -> list[tuple[int, int]] | None:
    """(y, x) of a left-, right-, top- and bottommost pixel; None for an empty mask."""
    ys, xs = np.nonzero(mask)
    if ys.size == 0:
        return None
    sides = (xs == xs.min(), xs == xs.max(), ys == ys.min(), ys == ys.max())
    chosen = []
    for side in sides:
        ties = np.flatnonzero(side)
        index = ties[rng.randint(0, len(ties) - 1)]
        chosen.append((int(ys[index]), int(xs[index])))
    return chosen
