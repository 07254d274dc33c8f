"""Colour likelihoods from a few seed pixels: kernel density estimates kept as histograms."""

import cv2
import numpy as np
from scipy import ndimage

from .seeds import Seeds

#: Cells along each axis of OpenCV's 8-bit CIE Luv; a cell is 8 of its steps wide.
BINS = 32


class ColourModel:
    """The colours of one image, and their densities in the object and the background.

    bandwidth: standard deviation of the Gaussian kernel, in cells. uniform_weight: weight of a
    uniform density in both sides, so that a colour without a seed is improbable and not impossible.
    background_prior: weight of the whole image's colours in the background's density; a few discs
    sample little of a varied background, and most of a photograph is background.
    """

    def __init__(
        self, image: np.ndarray, bandwidth: float, uniform_weight: float, background_prior: float
    ) -> None:
        """Sort the pixels of an (H, W, 3) uint8 RGB image into cells."""
        self.cells = colour_cells(image)
        self._bandwidth = bandwidth
        self._uniform_weight = uniform_weight
        self._background_prior = background_prior
        self._everywhere = colour_density(self.cells, bandwidth)

    def densities(self, seeds: Seeds) -> tuple[np.ndarray, np.ndarray]:
        """Two (32**3,) float64 arrays: each cell's probability in the object and background."""
        inside = colour_density(self.cells[seeds.positive], self._bandwidth)
        outside = colour_density(self.cells[seeds.negative], self._bandwidth)
        outside = (1 - self._background_prior) * outside + self._background_prior * self._everywhere
        kept, floor = 1 - self._uniform_weight, self._uniform_weight / BINS**3
        return kept * inside + floor, kept * outside + floor

    def log_ratio(self, seeds: Seeds) -> np.ndarray:
        """(H, W) float64: log p(colour | object) - log p(colour | background) of each pixel."""
        inside, outside = self.densities(seeds)
        return (np.log(inside) - np.log(outside))[self.cells]

    def posterior(self, seeds: Seeds) -> np.ndarray:
        """(H, W) float64 in (0, 1): p(object | colour) of each pixel, with even priors."""
        inside, outside = self.densities(seeds)
        return (inside / (inside + outside))[self.cells]


def colour_cells(image: np.ndarray) -> np.ndarray:
    """(H, W) int32: for each pixel of an (H, W, 3) uint8 RGB image, the cell of its Luv colour."""
    luv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2Luv).astype(np.int32)
    lightness, u, v = np.moveaxis(luv // (256 // BINS), 2, 0)
    return (lightness * BINS + u) * BINS + v


def colour_density(cells: np.ndarray, bandwidth: float) -> np.ndarray:
    """(32**3,) float64, summing to 1: the density of some sample pixels' cells, smoothed.

    An empty sample gives the uniform density.
    """
    if not cells.size:
        return np.full(BINS**3, 1 / BINS**3)
    counts = np.bincount(cells.ravel(), minlength=BINS**3).astype(float)
    if bandwidth:
        # "nearest" keeps the mass that a kernel at the edge of the cube would lose.
        cube = counts.reshape(BINS, BINS, BINS)
        counts = ndimage.gaussian_filter(cube, bandwidth, mode="nearest").ravel()
    return counts / counts.sum()
