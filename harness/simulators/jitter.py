"""An unsteady hand: any simulator's clicks, displaced."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..simulator import Simulator
from ..types import Click, Instance

#: Pixels that a click may be displaced by; a list of all places within them is kept.
MOST = 1000


class Jittered(Simulator):
    """Displaces every click of another simulator, openings included.

    A click lands on a pixel drawn uniformly from those within `radius` pixels (Euclidean) of
    the intended pixel, inside the image. Its kind does not change, even where it now
    falls on the wrong side of a boundary. Raises UserError for a radius outside 0 to MOST pixels.
    """

    def __init__(self, simulator: Simulator, radius: float) -> None:
        if not 0 <= radius <= MOST:
            raise UserError(f"jitter={radius}: must be a number of pixels from 0 to {MOST}")
        self.simulator = simulator
        self.radius = radius
        reach = int(radius)
        dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        near = dy * dy + dx * dx <= radius * radius
        self._offsets = np.stack([dy[near], dx[near]], axis=1)

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        clicks = self.simulator.open(instance, opening, rng)
        return [self._displaced(click, instance, rng) for click in clicks]

    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        click = self.simulator.correct(instance, probabilities, mask, clicks, rng)
        return click and self._displaced(click, instance, rng)

    def _displaced(self, click: Click, instance: Instance, rng: np.random.Generator) -> Click:
        height, width = instance.mask.shape
        spots = np.array([click.y, click.x]) + self._offsets
        inside = ((spots >= 0) & (spots <= (height - 1, width - 1))).all(axis=1)
        if not inside.any():
            return click
        y, x = rng.choice(spots[inside])
        return replace(click, y=float(y), x=float(x))
