"""The random changes an image and its object undergo before they are cropped."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Augmentation:
    """How far an image is changed: the released values by default.

    flip: probability of being mirrored left to right. rotation: the largest angle, in degrees,
    either way. scale: the smallest and the largest.
    """

    flip: float = 0.5
    rotation: float = 20.0
    scale: tuple[float, float] = (0.75, 1.25)


@dataclass(frozen=True)
class Layers:
    """The arrays that get the same changes: image, (H, W, 3) float32 in 0..255; mask and void,
    (H, W) float32 of zeros and ones: the object, and the pixels whose truth is unknown."""

    image: np.ndarray
    mask: np.ndarray
    void: np.ndarray


def augmented(layers: Layers, how: Augmentation, rng: np.random.Generator) -> Layers:
    """Mirrored or not, then rotated and scaled about the image's centre on the same canvas.

    Always draws three numbers from `rng`.
    """
    mirrored = rng.random() < how.flip
    angle = rng.uniform(-how.rotation, how.rotation)
    scale = rng.uniform(*how.scale)
    if mirrored:
        layers = Layers(
            layers.image[:, ::-1].copy(), layers.mask[:, ::-1].copy(), layers.void[:, ::-1].copy()
        )
    return turned(layers, angle, scale)


def turned(layers: Layers, angle: float, scale: float) -> Layers:
    """Rotated by `angle` degrees counterclockwise and enlarged by `scale`, about the centre.

    The canvas keeps its size; pixels from outside are zero. Maps of zeros and ones take
    the nearest pixel, the image is interpolated cubically, its overshoot kept.
    """
    if angle == 0 and scale == 1:
        return layers
    height, width = layers.mask.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, scale)

    def warp(values: np.ndarray, interpolation: int) -> np.ndarray:
        return cv2.warpAffine(values, matrix, (width, height), flags=interpolation)

    return Layers(
        warp(layers.image, cv2.INTER_CUBIC),
        warp(layers.mask, cv2.INTER_NEAREST),
        warp(layers.void, cv2.INTER_NEAREST),
    )
