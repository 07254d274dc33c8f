"""Forte's simulator: click in the middle of the largest connected error."""

from collections.abc import Sequence

import cv2
import numpy as np

from ..simulator import Simulator
from ..types import Click, Instance
from .distance.region import errors, innermost
from .openings import opening_clicks


class LargestComponent(Simulator):
    """The robot user of Forte et al. ("Getting to 99% Accuracy in Interactive Segmentation").

    Of each error's 8-connected components the one with most pixels is taken; the larger of the
    two is clicked in its middle, a tie is a negative click. The same pixel may be clicked again.
    """

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if opening == "click":
            nothing = np.zeros(instance.mask.shape, bool)
            first = self.correct(instance, None, nothing, (), rng)
            return [first] if first else []
        return opening_clicks(opening, instance.mask, rng)

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        false_negatives, false_positives = map(largest, errors(mask, instance.mask))
        negatives, positives = map(np.count_nonzero, (false_negatives, false_positives))
        if negatives == 0 and positives == 0:
            return None
        if negatives > positives:
            return Click(*innermost(false_negatives)[1], "positive")
        return Click(*innermost(false_positives)[1], "negative")


def largest(region: np.ndarray) -> np.ndarray:
    """The 8-connected component of a (H, W) bool region with most pixels, as a bool map.

    Of equal components the one that comes first in row-major order; empty when the region is.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        region.astype(np.uint8), connectivity=8
    )
    if count == 1:
        return np.zeros_like(region)
    areas = stats[1:, cv2.CC_STAT_AREA]
    equals = 1 + np.flatnonzero(areas == areas.max())
    if equals.size == 1:
        return labels == equals[0]
    flat = labels.ravel()
    first = flat[np.isin(flat, equals).argmax()]
    return labels == first
