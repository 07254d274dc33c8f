"""The simulator interface: it plays the person who clicks."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np

from .types import Click, Instance


class Simulator(ABC):
    """Places the opening clicks on an instance, then corrections on what is still wrong.

    A simulator keeps nothing between calls: everything it needs is in the arguments. Chance
    comes only from `rng`, which is seeded by (seed, data set, instance), so that a result never
    depends on order, batch size or the number of workers.
    """

    @abstractmethod
    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        """The clicks of one opening: click, inside-outside, extreme-points or box.

        Raises SimulatorError when it cannot place them.
        """

    @abstractmethod
    def correct(
        self,
        instance: Instance,
        probabilities: object,
        mask: np.ndarray,
        clicks: Sequence[Click],
        rng: np.random.Generator,
    ) -> Click | None:
        """The next click, or None when there is no error left to click.

        probabilities: the method's map as it returned it, (H, W) float32. mask: (H, W) bool, the
        map above the method's threshold. clicks: all so far. Raises SimulatorError.
        """
