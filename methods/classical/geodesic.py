"""Geodesic distance to the seeds, with colour likelihoods (Bai & Sapiro 2007, 2009)."""

import cv2
import numpy as np
from skimage.graph import MCP_Geometric

from ...harness.method import Paper, Session
from ...harness.types import Opening
from .colour_model import ColourModel
from .seeded_method import SeededMethod
from .seeds import Seeds


class Geodesic(SeededMethod):
    """A pixel goes with the seeds from which the object's colour likelihood changes least.

    With P = p(object | colour) from the seeds, the length of a path is the integral of
    |gradient P| + step along it; D_F and D_B are the lengths of the shortest paths from the
    positive and the negative seeds. The map is D_B / (D_F + D_B), above 0.5 where D_F < D_B,
    which is the paper's segmentation.

    radius: of the seed discs, in pixels. opening: the first clicks. step: the length of
    a pixel's step where P is constant; it decides where the image is uniform. bandwidth
    (cells), uniform_weight, background_prior: see `ColourModel`. Raises UserError for values out
    of range.
    """

    paper = Paper(
        "Geodesic matting: a framework for fast interactive image and video segmentation and "
        "matting",
        "X. Bai, G. Sapiro",
        2009,
        "https://doi.org/10.1007/s11263-008-0191-z",
    )
    departures = (
        "seeds are discs around clicks, not strokes",
        "the nearer seeds decide; the matte in a band around the boundary is left out",
        "the whole image's colours are mixed into the background's, and a constant is added to "
        "the length of every step",
        "each side of the image's frame is background until a positive disc touches it",
    )

    def __init__(
        self,
        *,
        radius: int = 5,
        opening: Opening = "click",
        step: float = 0.01,
        bandwidth: float = 1.0,
        uniform_weight: float = 0.1,
        background_prior: float = 0.5,
    ) -> None:
        super().__init__(radius=radius, opening=opening)
        self.require_colours(bandwidth, uniform_weight, background_prior)
        self.require(0 < step < np.inf, "step", step, "above 0")
        self.step = step
        self.colours = bandwidth, uniform_weight, background_prior

    def begin(self, session: Session) -> None:
        """Sort the colours into cells."""
        session.memory["colours"] = ColourModel(session.image, *self.colours)

    def solve(self, session: Session, seeds: Seeds) -> np.ndarray:
        """(H, W) float64 probabilities."""
        cost = gradient_length(session.memory["colours"].posterior(seeds)) + self.step
        to_object = geodesic_distance(cost, seeds.positive)
        to_background = geodesic_distance(cost, seeds.negative)
        return to_background / (to_object + to_background)


def gradient_length(p: np.ndarray) -> np.ndarray:
    """(H, W) length of the gradient of p, by central differences (one-sided at the border)."""
    squared = np.zeros(p.shape)
    for axis, size in enumerate(p.shape):
        if size > 1:
            squared += np.gradient(p, axis=axis) ** 2
    return np.sqrt(squared)


def geodesic_distance(cost: np.ndarray, seeds: np.ndarray) -> np.ndarray:
    """(H, W) length of the shortest 8-connected path from any pixel of the (H, W) bool `seeds`.

    A step between two pixels costs the mean of their `cost` times their distance.
    """
    if seeds.all():
        return np.zeros(cost.shape)
    # The shortest path from the seeds starts on their rim, next to a pixel that is not a seed.
    rim = seeds & (cv2.dilate((~seeds).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    distance = MCP_Geometric(cost).find_costs(np.argwhere(rim))[0]
    distance[seeds] = 0
    return distance
