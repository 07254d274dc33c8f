"""The common simulator: click in the middle of the largest error."""

from collections.abc import Sequence

import numpy as np

from ..simulator import Simulator
from ..types import Click, Instance
from .distance.deepest import Deepest
from .distance.region import clicked_pixels, errors
from .openings import opening_clicks
from .rule import Distance


class LargestError(Simulator):
    """The next click of RITM's evaluation (Sofiiuk et al., 2021), to the letter.

    `rule.next_click` is the same rule, written plainly. False negatives and false positives each
    get a Euclidean distance transform (zero outside the image and where a click has been); the
    larger maximum wins, a tie is a negative click; of equal pixels the first in row-major order.
    Ignored pixels are never wrong. Where the released code would click (0, 0) because nothing is
    left to click, this returns None.

    distance: "opencv" (RITM and its descendants) or "exact" (f-BRS, float64); they differ where
    two pixels are equally deep.
    """

    def __init__(self, distance: Distance = "opencv") -> None:
        self.distance: Distance = distance

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        return opening_clicks(opening, instance.mask, rng, self.distance)

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        avoid = clicked_pixels(clicks)
        false_negatives, false_positives = (
            Deepest(region, avoid, self.distance) for region in errors(mask, instance.mask)
        )
        if not false_negatives.at_most and not false_positives.at_most:
            return None
        # The error that can be deeper comes first; often the other cannot reach its depth.
        first, second = false_positives, false_negatives
        if false_negatives.at_most > false_positives.at_most:
            first, second = second, first
        depth, at = first.find()
        if second.at_most >= depth:
            other, other_at = second.find()
            if other > depth or (other == depth and second is false_positives):
                first, at = second, other_at
        return Click(*at, "positive" if first is false_negatives else "negative")
