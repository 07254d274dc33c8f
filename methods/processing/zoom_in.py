"""Zoom-in (Sofiiuk et al., CVPR 2020): after the first click the network looks at the object only.

The geometry is that of the released code, quirks included: the golden clicks depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..nets.click_maps import Point
from ..nets.resize import resize


class Roi(NamedTuple):
    """A box of pixels, both ends included."""

    rmin: int
    rmax: int
    cmin: int
    cmax: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.rmax - self.rmin + 1, self.cmax - self.cmin + 1

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns, to index an array with."""
        return slice(self.rmin, self.rmax + 1), slice(self.cmin, self.cmax + 1)


@dataclass(frozen=True)
class View:
    """What the network looks at for one prediction.

    roi: where the prediction belongs in the image; None is everywhere. crop: what is cut out of
    the image; None is the whole image as it is. size: (height, width) of the network's input.
    changed: the roi is another one than at the click before.
    """

    roi: Roi | None
    crop: Roi | None
    size: tuple[int, int]
    changed: bool

    def take(self, image: Tensor) -> Tensor:
        """(B, C, H, W) image -> (B, C, *size) network input."""
        if self.crop is None:
            return image
        return resize(image[(..., *self.crop.slices)], self.size)

    def points(self, clicks: Sequence[Point]) -> list[Point]:
        """Image clicks in the input's coordinates, fractional and possibly outside."""
        if self.crop is None:
            return list(clicks)
        (height, width), (rows, columns) = self.size, self.crop.shape
        rmin, _, cmin, _ = self.crop
        return [
            (height * (y - rmin) / rows, width * (x - cmin) / columns, positive)
            for y, x, positive in clicks
        ]

    def paste(self, probabilities: Tensor, shape: tuple[int, int]) -> Tensor:
        """(B, 1, *size) probabilities -> (B, 1, *shape), zero outside the roi.

        Where an emptied prediction had the whole image looked at, an old roi still stands, and
        the whole image's prediction is squeezed into it: so do the released systems.
        """
        if self.roi is None:
            return probabilities
        full = probabilities.new_zeros((*probabilities.shape[:2], *shape))
        full[(..., *self.roi.slices)] = resize(probabilities, self.roi.shape)
        return full


@dataclass(frozen=True)
class ZoomIn:
    """When and where to look closer. Lengths in pixels of the image.

    target: longest side of the network's input. skip_clicks: so many first clicks see the whole
    image. expansion: of the object's box about its centre. min_crop: shortest side of the box
    before clamping. recompute_iou: the old roi is kept while its IoU with the new one is not below.
    prob_threshold: object in the previous prediction. all_clicks: negative clicks count as part of
    the object's box too (FCFI), not only positive ones.
    """

    target: int = 400
    skip_clicks: int = 1
    expansion: float = 1.4
    min_crop: int = 200
    recompute_iou: float = 0.5
    prob_threshold: float = 0.5
    all_clicks: bool = False

    def look(
        self,
        shape: tuple[int, int],
        clicks: Sequence[Point],
        previous: np.ndarray | Tensor | None,
        roi: Roi | None,
    ) -> View:
        """The next view. previous: (H, W) probabilities of the last prediction; roi: its view's."""
        box = None
        if len(clicks) > self.skip_clicks and previous is not None:
            box = self._object_box(torch.as_tensor(previous) > self.prob_threshold, clicks)
        if box is None:
            return View(roi, None, shape, changed=False)
        changed = (
            roi is None
            or not all(_inside(roi, point) for point in self._counting(clicks))
            or _box_iou(box, roi) < self.recompute_iou
        )
        if roi is None or changed:
            roi = box
        height, width = roi.shape
        scale = self.target / max(height, width)
        size = round(height * scale), round(width * scale)
        return View(roi, roi, size, changed)

    def _counting(self, clicks: Sequence[Point]) -> list[Point]:
        return [point for point in clicks if point[2] or self.all_clicks]

    def _object_box(self, mask: Tensor, clicks: Sequence[Point]) -> Roi | None:
        """The expanded box of the mask and the clicks; None for an empty mask."""
        height, width = mask.shape
        # Both from one tensor: a GPU is waited for once.
        occupied = torch.cat([mask.any(dim=1), mask.any(dim=0)]).cpu().numpy()
        rows, columns = np.flatnonzero(occupied[:height]), np.flatnonzero(occupied[height:])
        if not rows.size:
            return None
        counting = self._counting(clicks)
        ys = [int(rows[0]), int(rows[-1]), *(int(y) for y, _, _ in counting)]
        xs = [int(columns[0]), int(columns[-1]), *(int(x) for _, x, _ in counting)]
        return Roi(
            *self._expand(min(ys), max(ys), height - 1), *self._expand(min(xs), max(xs), width - 1)
        )

    def _expand(self, low: int, high: int, last: int) -> tuple[int, int]:
        centre = 0.5 * (low + high)
        length = max(self.expansion * (high - low + 1), self.min_crop)
        return max(0, round(centre - 0.5 * length)), min(last, round(centre + 0.5 * length))


def _inside(roi: Roi, point: Point) -> bool:
    # The far edges count as outside, though the roi includes them: so in the released code.
    y, x, _ = point
    return roi.rmin <= y < roi.rmax and roi.cmin <= x < roi.cmax


def _box_iou(a: Roi, b: Roi) -> float:
    """The product of the IoUs along rows and along columns."""
    return _segment_iou(a[:2], b[:2]) * _segment_iou(a[2:], b[2:])


def _segment_iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return common / max(1e-6, max(a[1], b[1]) - min(a[0], b[0]) + 1)
