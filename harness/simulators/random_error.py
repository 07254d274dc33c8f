"""A careless user: click anywhere in the larger error."""

from collections.abc import Sequence

import numpy as np

from ..simulator import Simulator
from ..types import OBJECT, Click, Instance
from .distance.region import clicked_pixels, errors
from .openings import opening_clicks


class RandomError(Simulator):
    """Clicks a pixel drawn uniformly from the error with more pixels; a tie is a negative click.

    Pixels that have been clicked are not drawn again. The opening click is drawn from the object;
    other openings are those of a careful user.
    """

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if opening == "click":
            return [Click(*_draw(instance.mask == OBJECT, rng), "positive")]
        return opening_clicks(opening, instance.mask, rng)

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        false_negatives, false_positives = errors(mask, instance.mask)
        height, width = mask.shape
        for y, x in clicked_pixels(clicks):
            if 0 <= y < height and 0 <= x < width:
                false_negatives[y, x] = false_positives[y, x] = False
        negatives, positives = map(np.count_nonzero, (false_negatives, false_positives))
        if negatives == 0 and positives == 0:
            return None
        if negatives > positives:
            return Click(*_draw(false_negatives, rng), "positive")
        return Click(*_draw(false_positives, rng), "negative")


def _draw(region: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    y, x = divmod(int(rng.choice(np.flatnonzero(region))), region.shape[1])
    return y, x
