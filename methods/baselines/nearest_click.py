"""The simplest method that uses every click: a pixel belongs to the nearest one."""

import numpy as np

from ...harness.method import Method, Session
from ...harness.types import Click


class NearestClick(Method):
    """Object where the nearest positive click is strictly closer than the nearest negative one.

    Distances are compared as squared integers between pixels, so the answer is exact. Without a
    negative click everything is object; without a positive one nothing is. The image is not
    read, and clicks of other kinds (corners, extreme points) do not count.
    """

    opening = "click"

    def predict_one(self, session: Session) -> np.ndarray:
        """(H, W) float32, 0 or 1."""
        nearest = session.memory.get("nearest")
        if nearest is None or not nearest.continues_to(session.clicks):
            nearest = session.memory["nearest"] = _NearestSoFar(session.shape)
        nearest.add(session.clicks)
        return (nearest.positive < nearest.negative).astype(np.float32)


class _NearestSoFar:
    """Running minima of the squared distance to the positive and to the negative clicks."""

    def __init__(self, shape: tuple[int, int]) -> None:
        # The largest int means "no such click": nothing is closer than a missing click, and
        # two missing clicks tie.
        self.positive = np.full(shape, np.iinfo(np.int64).max)
        self.negative = self.positive.copy()
        self._counted: tuple[Click, ...] = ()
        self._rows = np.arange(shape[0], dtype=np.int64)
        self._columns = np.arange(shape[1], dtype=np.int64)

    def continues_to(self, clicks: tuple[Click, ...]) -> bool:
        return clicks[: len(self._counted)] == self._counted

    def add(self, clicks: tuple[Click, ...]) -> None:
        """Add the new clicks; any number of them."""
        for click in clicks[len(self._counted) :]:
            if click.kind in ("positive", "negative"):
                nearest = self.positive if click.kind == "positive" else self.negative
                row, column = click.pixel
                squared = np.add.outer((self._rows - row) ** 2, (self._columns - column) ** 2)
                np.minimum(nearest, squared, out=nearest)
        self._counted = clicks
