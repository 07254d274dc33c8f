"""Clicks as Gaussian bumps (DEXTR, CVPR 2018; IOG, CVPR 2020)."""

import numpy as np

#: Full width at half maximum, in pixels of the network's input.
FULL_WIDTH = 10.0


def gaussian_map(
    points: np.ndarray, shape: tuple[int, int], full_width: float = FULL_WIDTH
) -> np.ndarray:
    """The highest of the bumps exp(-4 ln 2 d^2 / full_width^2) around each point.

    points: (N, 2) of (y, x); they may lie outside. Returns (H, W) float64 in [0, 1], zero for
    no points.
    """
    rows, columns = np.arange(shape[0], dtype=float), np.arange(shape[1], dtype=float)
    highest = np.zeros(shape)
    for y, x in np.asarray(points, float).reshape(-1, 2):
        squared = (columns[None, :] - x) ** 2 + (rows[:, None] - y) ** 2
        np.maximum(highest, np.exp(-4 * np.log(2) * squared / full_width**2), out=highest)
    return highest
