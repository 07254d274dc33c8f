"""Boxes around an object: cropping beyond the image's border, and pasting back."""

from collections.abc import Sequence

import numpy as np

from ...harness.types import Box, Click


def box_of(pixels: np.ndarray) -> Box:
    """The tight box of (N, 2) whole (y, x), N at least 1."""
    (top, left), (bottom, right) = pixels.min(axis=0), pixels.max(axis=0)
    return Box(int(top), int(left), int(bottom), int(right))


def crop(array: np.ndarray, box: Box) -> np.ndarray:
    """What a box holds of an (H, W, ...) array; zero where it reaches beyond it."""
    out = np.zeros((box.height, box.width, *array.shape[2:]), array.dtype)
    inside, there = _overlap(box, array.shape[:2])
    out[inside] = array[there]
    return out


def paste(values: np.ndarray, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """A zero map of an (H, W) shape with the (box.height, box.width) values in the box."""
    out = np.zeros(shape, values.dtype)
    inside, there = _overlap(box, shape)
    out[there] = values[inside]
    return out


def _overlap(box: Box, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where box and image meet: as slices of the box's own array, and of the image's."""
    inside, there = [], []
    for low, high, size in ((box.top, box.bottom, shape[0]), (box.left, box.right, shape[1])):
        first, last = max(low, 0), min(high + 1, size)
        last = max(first, last)
        there.append(slice(first, last))
        inside.append(slice(first - low, last - low))
    return (inside[0], inside[1]), (there[0], there[1])


def bounding_box(shape: tuple[int, int], clicks: Sequence[Click]) -> Box | None:
    """The tight box of the corner and extreme clicks; None with fewer than two of them.

    shape: (H, W) of the image; clicks outside it move to its border.
    """
    pixels = [pixel_inside(shape, c) for c in clicks if c.kind in ("corner", "extreme")]
    return box_of(np.array(pixels)) if len(pixels) >= 2 else None


def pixel_inside(shape: tuple[int, ...], click: Click) -> tuple[int, int]:
    """The (row, column) of the pixel of an (H, W) image nearest to a click."""
    row, column = click.pixel
    return min(max(row, 0), shape[0] - 1), min(max(column, 0), shape[1] - 1)
