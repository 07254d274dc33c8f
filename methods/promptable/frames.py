"""How images, points and masks go between an image and a network's square input."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Frame(ABC):
    """A network's square input, side x side pixels."""

    def __init__(self, side: int) -> None:
        self.side = side

    @abstractmethod
    def pixels(self, image: np.ndarray) -> Tensor:
        """(H, W, 3) uint8 RGB -> (1, 3, side, side) float32, normalised."""

    @abstractmethod
    def inner(self, shape: tuple[int, int]) -> tuple[int, int]:
        """(height, width) that an (H, W) image takes up in the input, from the top left corner."""

    @abstractmethod
    def in_image(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """(C, h, w) low-resolution logits -> (C, H, W)."""

    def coordinates(self, xy: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """(N, 2) float64 (x, y) in an (H, W) image -> in the input, float32."""
        height, width = self.inner(shape)
        return (xy * (width / shape[1], height / shape[0])).astype(np.float32)


class PaddedFrame(Frame):
    """SAM's: the image keeps its proportions, and zeros fill what is left, right and below."""

    def inner(self, shape: tuple[int, int]) -> tuple[int, int]:
        scale = self.side / max(shape)
        height, width = (int(length * scale + 0.5) for length in shape)
        return height, width

    def pixels(self, image: np.ndarray) -> Tensor:
        height, width = self.inner(image.shape[:2])
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
        mean, std = (np.array(values, np.float32) * 255 for values in (_MEAN, _STD))
        pixels = np.zeros((self.side, self.side, 3), np.float32)
        pixels[:height, :width] = (np.asarray(resized) - mean) / std
        return _planes(pixels)

    def in_image(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        height, width = self.inner(shape)
        whole = _resized(logits, (self.side, self.side))
        return _resized(whole[:, :height, :width], shape)


class SquareFrame(Frame):
    """SAM 2's: the image is stretched over the whole input, and resized without rounding."""

    mean, std = _MEAN, _STD

    def inner(self, shape: tuple[int, int]) -> tuple[int, int]:
        return self.side, self.side

    def pixels(self, image: np.ndarray) -> Tensor:
        resized = self.resized(_planes(image))
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (resized - mean) / std

    def resized(self, planes: Tensor) -> Tensor:
        """(1, 3, H, W) uint8 -> (1, 3, side, side) float32 in [0, 1]."""
        return _shrunk(planes.float() / 255, self.side)

    def in_image(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        return _resized(logits, shape)


class RoundedSquareFrame(SquareFrame):
    """SAM 3's: stretched likewise, but resized to 8 bits, and normalised to [-1, 1]."""

    mean = std = (0.5, 0.5, 0.5)

    def resized(self, planes: Tensor) -> Tensor:
        return _shrunk(planes, self.side).float() / 255


def _planes(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None]


def _shrunk(planes: Tensor, side: int) -> Tensor:
    return functional.interpolate(
        planes, (side, side), mode="bilinear", antialias=True, align_corners=False
    )


def _resized(logits: Tensor, shape: tuple[int, int]) -> Tensor:
    return functional.interpolate(logits[None], shape, mode="bilinear", align_corners=False)[0]
