"""The base of the classical methods: clicks become seeds, and the map agrees with every seed."""

from abc import abstractmethod

import numpy as np

from ...harness.errors import UserError
from ...harness.method import Method, Session
from ...harness.types import Opening
from .seeds import Seeds, draw_seeds


class SeededMethod(Method):
    """Draws the seeds, answers the trivial cases, and calls `solve` for the others.

    Subclasses define `solve`, and validate their parameters with `require`.
    """

    def __init__(self, *, radius: int, opening: Opening) -> None:
        self.radius = radius
        self.opening = opening
        self.require(radius >= 0, "radius", radius, "0 or more pixels")

    @abstractmethod
    def solve(self, session: Session, seeds: Seeds) -> np.ndarray:
        """(H, W) probabilities, finite, in [0, 1]; both kinds of seed and other pixels exist."""

    def predict_one(self, session: Session) -> np.ndarray:
        """(H, W) float32: 1 on positive seeds, 0 on negative ones, elsewhere from `solve`."""
        seeds = draw_seeds(session.shape, session.clicks, self.radius)
        if not seeds.positive.any():
            return np.zeros(session.shape, np.float32)
        unknown = ~(seeds.positive | seeds.negative)
        if unknown.any() and seeds.negative.any():
            probabilities = self.solve(session, seeds).astype(np.float32)
        else:
            probabilities = np.ones(session.shape, np.float32)
        probabilities[seeds.positive] = 1
        probabilities[seeds.negative] = 0
        return probabilities

    def require_colours(
        self, bandwidth: float, uniform_weight: float, background_prior: float
    ) -> None:
        """Raise UserError for parameters that `ColourModel` cannot use."""
        self.require(0 <= bandwidth <= 16, "bandwidth", bandwidth, "0 to 16 cells")
        self.require(0 < uniform_weight < 1, "uniform_weight", uniform_weight, "between 0 and 1")
        share = background_prior
        self.require(0 <= share < 1, "background_prior", share, "0 or more, below 1")

    def require(self, fits: bool, name: str, value: object, must: str) -> None:
        """Raise UserError when a parameter does not fit."""
        if not fits:
            raise UserError(f"{type(self).__name__}: {name}={value!r} must be {must}")
