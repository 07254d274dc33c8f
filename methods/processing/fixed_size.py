"""Zoom-in to a fixed size: every crop is resized to one square."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..nets.click_maps import Point
from ..nets.resize import resize
from .zoom_in import ZoomedView, ZoomIn


@dataclass(frozen=True)
class FixedView(ZoomedView):
    """A view of fixed size: the whole image, too, is resized to it.

    image_shape: (height, width) of the image.
    """

    image_shape: tuple[int, int]

    def take(self, image: Tensor) -> Tensor:
        return resize(super().take(image), self.size)

    def points(self, clicks: Sequence[Point]) -> list[Point]:
        if self.crop is not None:
            return super().points(clicks)
        down, across = (new / old for new, old in zip(self.size, self.image_shape, strict=True))
        return [(y * down, x * across, positive) for y, x, positive in clicks]

    def paste(self, probabilities: Tensor, shape: tuple[int, int]) -> Tensor:
        return resize(super().paste(probabilities, shape), shape)


@dataclass(frozen=True)
class FixedZoom(ZoomIn):
    """A zoom-in whose views are squares of `target` pixels; the aspect ratio is not kept.

    from_first: the crop is the object's box from the first click on, or the whole image
    while there is no object (SimpleClick); otherwise the whole image is resized then, and an older
    box stays in force for the result (ClickSEG).
    """

    from_first: bool = False

    def look(
        self,
        shape: tuple[int, int],
        clicks: Sequence[Point],
        previous: np.ndarray | Tensor | None,
        roi: object,
    ) -> FixedView:
        if self.from_first and not self._shows_object(previous):
            previous = np.ones(shape, np.float32)
        view = super().look(shape, clicks, previous, roi)  # type: ignore[arg-type]
        size = (self.target, self.target)
        return FixedView(**{**vars(view), "size": size, "image_shape": shape})

    def _shows_object(self, previous: np.ndarray | Tensor | None) -> bool:
        return previous is not None and bool(
            (torch.as_tensor(previous) > self.prob_threshold).any()
        )


def every_click(target: int) -> FixedZoom:
    """ClickSEG's zoom-in: a small box is allowed, and it is found anew at every click."""
    return FixedZoom(target=target, min_crop=10, recompute_iou=float("inf"), prob_threshold=0.49)
