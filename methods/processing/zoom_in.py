"""Zoom-in (Sofiiuk et al., CVPR 2020): after the first click the input is a crop around the object.

The geometry is that of the released code, quirks included: the golden clicks depend on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...harness.types import Box
from ..nets.click_maps import Point
from ..nets.resize import resize


@dataclass(frozen=True)
class ZoomedView:
    """The input of the network for one prediction.

    roi: the region of the image that the prediction is pasted into; None is the whole image.
    crop: the region cut out of the image for the input; None is the whole image, not resized.
    size: (height, width) of the network's input. changed: the roi differs from the last click's.
    """

    roi: Box | None
    crop: Box | None
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
        (height, width), crop = self.size, self.crop
        return [
            (height * (y - crop.top) / crop.height, width * (x - crop.left) / crop.width, positive)
            for y, x, positive in clicks
        ]

    def paste(self, probabilities: Tensor, shape: tuple[int, int]) -> Tensor:
        """(B, 1, *size) probabilities -> (B, 1, *shape), zero outside the roi.

        After an emptied prediction the input is the whole image while the roi is still the old
        one; the prediction is then resized into it. So do the released systems.
        """
        if self.roi is None:
            return probabilities
        full = probabilities.new_zeros((*probabilities.shape[:2], *shape))
        full[(..., *self.roi.slices)] = resize(probabilities, (self.roi.height, self.roi.width))
        return full


@dataclass(frozen=True)
class ZoomIn:
    """When and where to crop. Lengths in pixels of the image.

    target: longest side of the network's input. skip_clicks: so many first clicks use the whole
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
        roi: Box | None,
    ) -> ZoomedView:
        """The next view. previous: (H, W) probabilities of the last prediction; roi: its view's."""
        box = None
        if len(clicks) > self.skip_clicks and previous is not None:
            box = self._object_box(torch.as_tensor(previous) > self.prob_threshold, clicks)
        if box is None:
            return ZoomedView(roi, None, shape, changed=False)
        changed = (
            roi is None
            or not all(_inside(roi, point) for point in self._counting(clicks))
            or _box_iou(box, roi) < self.recompute_iou
        )
        if roi is None or changed:
            roi = box
        scale = self.target / max(roi.height, roi.width)
        size = round(roi.height * scale), round(roi.width * scale)
        return ZoomedView(roi, roi, size, changed)

    def _counting(self, clicks: Sequence[Point]) -> list[Point]:
        return [point for point in clicks if point[2] or self.all_clicks]

    def _object_box(self, mask: Tensor, clicks: Sequence[Point]) -> Box | None:
        """The expanded box of the mask and the clicks; None for an empty mask."""
        height, width = mask.shape
        # Both from one tensor: one blocking transfer from a GPU.
        occupied = torch.cat([mask.any(dim=1), mask.any(dim=0)]).cpu().numpy()
        rows, columns = np.flatnonzero(occupied[:height]), np.flatnonzero(occupied[height:])
        if not rows.size:
            return None
        counting = self._counting(clicks)
        ys = [int(rows[0]), int(rows[-1]), *(int(y) for y, _, _ in counting)]
        xs = [int(columns[0]), int(columns[-1]), *(int(x) for _, x, _ in counting)]
        top, bottom = self._expand(min(ys), max(ys), height - 1)
        left, right = self._expand(min(xs), max(xs), width - 1)
        return Box(top, left, bottom, right)

    def _expand(self, low: int, high: int, last: int) -> tuple[int, int]:
        centre = 0.5 * (low + high)
        length = max(self.expansion * (high - low + 1), self.min_crop)
        return max(0, round(centre - 0.5 * length)), min(last, round(centre + 0.5 * length))


def _inside(roi: Box, point: Point) -> bool:
    # The far edges count as outside, though the roi includes them: so in the released code.
    y, x, _ = point
    return roi.top <= y < roi.bottom and roi.left <= x < roi.right


def _box_iou(a: Box, b: Box) -> float:
    """The product of the IoUs along rows and along columns."""
    rows = _segment_iou((a.top, a.bottom), (b.top, b.bottom))
    return rows * _segment_iou((a.left, a.right), (b.left, b.right))


def _segment_iou(a: tuple[int, int], b: tuple[int, int]) -> float:
    """Of two ranges of whole numbers, both ends included."""
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]) + 1)
    return common / max(1e-6, max(a[1], b[1]) - min(a[0], b[0]) + 1)
