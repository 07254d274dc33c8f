"""A user who draws the box and never corrects: the user of `isegbench label`."""

from collections.abc import Sequence

import numpy as np

from ..errors import SimulatorError
from ..simulator import Simulator
from ..types import Click, Instance
from .openings import opening_clicks


class GivenBox(Simulator):
    """The two corners of the tight box, and never a correction.

    Made for boxes without masks, where an instance's mask is its box and an IoU would mean
    nothing. Raises SimulatorError for an opening that is not `box`.
    """

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if opening != "box":
            raise SimulatorError(f"only a box is given; the opening {opening!r} needs more")
        return opening_clicks(opening, instance.mask, rng)

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        return None
