"""The common simulator: click in the middle of the largest error."""

from collections.abc import Sequence

import numpy as np

from ..types import Click, Instance
from .openings import opening_clicks
from .region import Distance, clicked_pixels, errors, innermost
from .simulator import Simulator


class LargestError(Simulator):
    """The next click of RITM's evaluation (Sofiiuk et al., 2021), to the letter.

    False negatives and false positives each get a Euclidean distance transform (zero outside the
    image and where a click has been); the larger maximum wins, a tie is a negative click; of equal
    pixels the first in row-major order. Ignored pixels are never wrong. Where the released code
    would click (0, 0) because nothing is left to click, this says None.

    distance: "opencv" (RITM and its descendants) or "exact" (f-BRS, float64); they differ where
    two pixels are equally deep.
    """

    def __init__(self, distance: Distance = "opencv") -> None:
        self._distance: Distance = distance

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        return opening_clicks(opening, instance.mask, rng, self._distance)

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        avoid = clicked_pixels(clicks)
        missed, spilled = errors(mask, instance.mask)
        missed_depth, missed_at = innermost(missed, avoid, self._distance)
        spilled_depth, spilled_at = innermost(spilled, avoid, self._distance)
        if missed_depth == 0 and spilled_depth == 0:
            return None
        if missed_depth > spilled_depth:
            return Click(*missed_at, "positive")
        return Click(*spilled_at, "negative")
