"""The square input of IOG's networks: a crop around the object, resized."""

from dataclasses import dataclass

import cv2
import numpy as np

from ...harness.types import Box
from ..processing.boxes import crop, paste

#: How far the crop reaches beyond the object's tight box, in image pixels.
MARGIN = 30


@dataclass(frozen=True)
class CropView:
    """The tight box of an object, enlarged, cropped and resized to a square.

    tight: the box in the image. side: of the square, in pixels. The crop is not clamped to the
    image: it is zero beyond it. The aspect ratio is not kept.
    """

    tight: Box
    side: int

    @property
    def box(self) -> Box:
        """The part of the image that the view shows."""
        return self.tight.grown(MARGIN)

    def picture(self, image: np.ndarray) -> np.ndarray:
        """(side, side, 3) float32 in 0..255 from an (H, W, 3) uint8 image."""
        return self._resized(image.astype(np.float32))

    def mask(self, target: np.ndarray) -> np.ndarray:
        """(side, side) bool from an (H, W) bool mask of the image."""
        return self._resized(target.astype(np.float32)) > 0.5

    def point(self, y: float, x: float) -> tuple[int, int]:
        """The (row, column) of the view in which a point of the image lies."""
        down, across = self._scale
        row = round((y - self.box.top + 0.5) * down - 0.5)
        column = round((x - self.box.left + 0.5) * across - 0.5)
        return row, column

    def pixel(self, row: int, column: int) -> tuple[int, int]:
        """The (y, x) of the image's pixel under the middle of a pixel of the view; it may lie
        beyond the image, as the view may."""
        down, across = self._scale
        return (
            int(np.floor((row + 0.5) / down)) + self.box.top,
            int(np.floor((column + 0.5) / across)) + self.box.left,
        )

    def tight_box(self) -> Box:
        """The pixels of the view whose middles lie in the tight box."""
        down, across = self._scale
        return Box(
            top=int(np.ceil(MARGIN * down - 0.5)),
            left=int(np.ceil(MARGIN * across - 0.5)),
            bottom=int(np.floor((MARGIN + self.tight.height) * down - 0.5)),
            right=int(np.floor((MARGIN + self.tight.width) * across - 0.5)),
        )

    def in_image(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """(side, side) float32 values as an (H, W) map of the image, zero outside the box.

        Resized cubically: values may leave their range a little.
        """
        size = (self.box.width, self.box.height)
        return paste(cv2.resize(values, size, interpolation=cv2.INTER_CUBIC), self.box, shape)

    @property
    def _scale(self) -> tuple[float, float]:
        """View pixels per image pixel, down and across."""
        return self.side / self.box.height, self.side / self.box.width

    def _resized(self, array: np.ndarray) -> np.ndarray:
        size = (self.side, self.side)
        return cv2.resize(crop(array, self.box), size, interpolation=cv2.INTER_LINEAR)
