"""Scoring and simulating where the maps are: what is wrong with a batch, told in a few numbers.

A probability map that a GPU computed need not travel. `assess` thresholds, scores and looks for the
deepest errors there; nine numbers a map come back, in one transfer. Squared depths are integers, so
nothing is rounded, and what `LargestError` would click follows from them wherever its answer does
not hang on the last bit of OpenCV's float32 transform: see `Assessment.click`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

import numpy as np

from ..simulators.distance.deepest_on_gpu import deepest_pixels
from ..simulators.distance.transform import PLAIN, Distance
from ..types import BACKGROUND, IGNORED, OBJECT, Click

if TYPE_CHECKING:
    from torch import Tensor

#: Below this squared depth OpenCV's float32 orders unequal integers as they are. The roots of
#: D - 1 and D are more than 1 / (2 * sqrt(D)) apart, and a float32 step at sqrt(D) is at most
#: 2 ** -23 * sqrt(D); so for D = 2 ** 19 there are more than 8 steps between them. Intel's IPP was
#: seen up to 2 steps from the rounded root (frames of up to 1,500 x 1,600). Deeper than 724
#: pixels are only errors that hold a square of 1,024.
SURE_BELOW = 2**19

#: Pixels looked at in one go, in maps of missed and of spilled pixels; each needs some 40 bytes.
_AT_ONCE = 2**25


class Undecided(Enum):
    """The type of UNDECIDED, a value that is neither a click nor None."""

    UNDECIDED = "undecided"


#: What `Assessment.click` returns where only the mask can tell.
UNDECIDED: Final = Undecided.UNDECIDED


@dataclass(frozen=True, slots=True)
class DeepestError:
    """The deepest pixels of one kind of error.

    squared: the largest squared distance, in pixels, to the nearest pixel outside the error; 0 when
    no pixel counts. pixel: (y, x) of the first in row-major order that has it. equals: how many do.
    """

    squared: int
    pixel: tuple[int, int]
    equals: int


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is to be known of one prediction without its map.

    in_range: every probability is in [0, 1], none is NaN; where it is False, nothing else means
    anything. intersection, union: pixels, ignored ones not counted. missed, spilled: the deepest
    false negatives and false positives.
    """

    in_range: bool
    intersection: int
    union: int
    missed: DeepestError
    spilled: DeepestError

    @property
    def iou(self) -> float:
        """As `metrics.iou`: 1.0 when both masks are empty."""
        return self.intersection / self.union if self.union else 1.0

    def click(self, distance: Distance = "opencv") -> Click | Undecided | None:
        """What `LargestError(distance)` corrects; None when nothing is wrong that can be clicked.

        "exact" is always decided. "opencv" is UNDECIDED where depths are equal, as OpenCV breaks
        that tie by the last bit of a float32 (`transform.depths`): when several pixels are deepest,
        or missed and spilled pixels are equally deep. Of these, depths up to the root of PLAIN are
        decided, because OpenCV's last bit is sure there. UNDECIDED is also whatever is deeper than
        SURE_BELOW.
        """
        missed, spilled = self.missed, self.spilled
        positive = missed.squared > spilled.squared
        winner = missed if positive else spilled
        if not winner.squared:
            return None
        tied = winner.equals > 1 or missed.squared == spilled.squared
        unsure = winner.squared >= SURE_BELOW or (tied and winner.squared > PLAIN)
        if distance == "opencv" and unsure:
            return UNDECIDED
        return Click(*winner.pixel, "positive" if positive else "negative")


def assess(
    maps: "Tensor",
    truths: "Tensor",
    threshold: float,
    avoid: Sequence[Sequence[tuple[int, int]]],
) -> list[Assessment]:
    """What a simulator and a score need to know of predictions, computed where they are.

    maps: (B, H, W) float32 probabilities, on any device. truths: (B, H, W) uint8 on the same
    device, with 0 background, 1 object, 255 ignored. threshold: a pixel is predicted when its
    probability is strictly above. avoid: for each map the (y, x) pixels clicked so far, which
    cannot be clicked again (`region.clicked_pixels`); those outside the image mean nothing.

    Returns B assessments. There is one transfer from the device at the end; before it, the device
    is waited for once (for maps that hold more than 16 million pixels in all: once for each part).
    """
    import torch

    if not len(maps):
        return []
    many = max(1, _AT_ONCE // (2 * maps[0].numel()))
    parts = [
        _measured(maps[i : i + many], truths[i : i + many], threshold, avoid[i : i + many])
        for i in range(0, len(maps), many)
    ]
    width = maps.shape[2]
    return [_read(row, width) for row in torch.cat(parts).tolist()]


def ious(masks: "Tensor", truths: "Tensor") -> np.ndarray:
    """Intersection over union of predicted masks, each equal to `metrics.iou`; (B,) float64.

    masks: (B, H, W) bool, on any device. truths: (B, H, W) uint8 on the same device, with
    0 background, 1 object, 255 ignored. Counted where they are; one transfer.
    """
    intersections, unions = _counts(masks, truths).cpu().numpy().astype(np.float64).T
    return np.where(unions > 0, intersections / np.maximum(unions, 1), 1.0)


def _measured(
    maps: "Tensor",
    truths: "Tensor",
    threshold: float,
    avoid: Sequence[Sequence[tuple[int, int]]],
) -> "Tensor":
    """(B, 9) int64 on the device: in range, intersection, union, deepest missed, deepest spilled.

    Either of the last two is (squared depth, y * W + x, equals).
    """
    import torch

    many = len(maps)
    masks = maps > threshold
    in_range = ((maps >= 0.0) & (maps <= 1.0)).flatten(1).all(dim=1)
    errors = torch.cat([(truths == OBJECT) & ~masks, masks & (truths == BACKGROUND)])
    clicked = [(index, y, x) for index, pixels in enumerate(avoid) for y, x in pixels]
    deepest = deepest_pixels(errors, clicked + [(index + many, y, x) for index, y, x in clicked])
    return torch.cat(
        [in_range[:, None].long(), _counts(masks, truths), deepest[:many], deepest[many:]], dim=1
    )


def _counts(masks: "Tensor", truths: "Tensor") -> "Tensor":
    """(B, 2) int64 on the device: pixels in the intersection and in the union."""
    import torch

    target = truths == OBJECT
    intersection = (masks & target).flatten(1).sum(dim=1)
    union = ((masks & (truths != IGNORED)) | target).flatten(1).sum(dim=1)
    return torch.stack([intersection, union], dim=1)


def _read(row: list[int], width: int) -> Assessment:
    in_range, intersection, union, *deepest = row
    missed, spilled = (
        DeepestError(squared, divmod(first, width), equals)
        for squared, first, equals in (deepest[:3], deepest[3:])
    )
    return Assessment(bool(in_range), intersection, union, missed, spilled)
