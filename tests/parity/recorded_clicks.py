"""The recorded clicks of a golden row, compared with those of a simulator. Tests only."""

from collections.abc import Sequence

import numpy as np

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.method import Method
from isegbench.harness.registry import datasets
from isegbench.harness.simulator import Simulator
from isegbench.harness.simulators.replay import RecordedClicks
from isegbench.harness.types import Click, Instance, InstanceRef


class ComparedClicks(RecordedClicks):
    """Plays `clicks`, and collects where another simulator would have clicked elsewhere.

    others: (step, its click) where it differs.
    """

    def __init__(self, clicks: Sequence[Click], other: Simulator) -> None:
        super().__init__(clicks)
        self.other = other
        self.others: list[tuple[int, Click | None]] = []

    def open(self, instance: Instance, opening: str, rng: np.random.Generator) -> list[Click]:
        (click,) = self.other.open(instance, opening, rng)
        self._compare(0, click)
        return super().open(instance, opening, rng)

    def correct(self, instance, probabilities, mask, clicks, rng) -> Click | None:
        given = (instance, probabilities, mask, clicks, rng)
        if len(clicks) < len(self.clicks):
            self._compare(len(clicks), self.other.correct(*given))
        return super().correct(*given)

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
