"""A golden row's clicks, played back beside what a simulator would have clicked. Tests only."""

from collections.abc import Sequence

import numpy as np

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.method import Method
from isegbench.harness.registry import datasets
from isegbench.harness.simulator import Simulator
from isegbench.harness.types import Click, Instance, InstanceRef


class RecordedClicks(Simulator):
    """Plays `clicks`, the first `opening` of them as the opening.

    beside: asked at every step as well; `others` collects (step, its click) where it differs.
    """

    def __init__(
        self, clicks: Sequence[Click], opening: int = 1, beside: Simulator | None = None
    ) -> None:
        self.clicks = clicks
        self.opening = opening
        self.beside = beside
        self.others: list[tuple[int, Click | None]] = []

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        if self.beside is not None:
            (click,) = self.beside.open(instance, opening, rng)
            self._compare(0, click)
        return list(self.clicks[: self.opening])

    def correct(self, instance, probabilities, mask, clicks, rng) -> Click | None:
        step = len(clicks)
        if step == len(self.clicks):
            return None
        if self.beside is not None:
            found = self.beside.correct(instance, probabilities, mask, clicks, rng)
            self._compare(step, found)
        return self.clicks[step]

    def _compare(self, step: int, click: Click | None) -> None:
        if click != self.clicks[step]:
            self.others.append((step, click))


def instance_of(row: dict, data_root) -> InstanceRef:
    """The instance of a golden row."""
    dataset = datasets.build(row["dataset"].lower(), data_root=data_root)
    return next(ref for ref in dataset.instances() if ref.name == row["name"])


def ious(method: Method, ref: InstanceRef, simulator: Simulator, clicks: int) -> list[float]:
    """The IoU after every prediction of one trace of the engine."""
    pairing = Pairing(method, "golden", simulator, "golden")
    (trace,) = Engine(pairing, Settings(clicks=clicks)).run([ref])
    assert trace.status == "ok", trace.error
    return [step.iou for step in trace.steps if step.iou is not None]
