"""Small made-up instances, and methods that behave in known ways."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from isegbench.harness.dataset import Dataset
from isegbench.harness.method import Method, Session
from isegbench.harness.types import InstanceRef, instance_from_arrays


class Discs(Dataset):
    """Bright discs on dark ground, of different sizes and places, at two image sizes."""

    def __init__(self, count: int = 6, seed: int = 0) -> None:
        self.name = "discs"
        self._count = count
        self._seed = seed

    def instances(self) -> Sequence[InstanceRef]:
        return [self._disc(number) for number in range(self._count)]

    def _disc(self, number: int) -> InstanceRef:
        rng = np.random.default_rng((self._seed, number))
        height, width = ((40, 50), (48, 36))[number % 2]
        y, x = np.mgrid[:height, :width]
        centre = rng.uniform(12, 24, 2)
        mask = (np.hypot(y - centre[0], x - centre[1]) < rng.uniform(5, 11)).astype(np.uint8)
        image = np.where(mask[..., None], 200, 40) + rng.integers(0, 20, (height, width, 3))
        return instance_from_arrays(self.name, f"disc{number}", image.astype(np.uint8), mask)


class NearestSeed(Method):
    """A real if simple method: nearest click wins, by brute force. Chance-free."""

    def predict_one(self, session: Session) -> np.ndarray:
        y, x = np.mgrid[: session.shape[0], : session.shape[1]]
        best = np.full(session.shape, np.inf)
        result = np.zeros(session.shape, np.float32)
        for click in session.clicks:
            distance = (y - click.y) ** 2 + (x - click.x) ** 2
            result[distance < best] = click.kind == "positive"
            best = np.minimum(best, distance)
        return result


@pytest.fixture
def discs() -> Callable[..., Discs]:
    return Discs


@pytest.fixture
def nearest_seed() -> type[NearestSeed]:
    return NearestSeed
