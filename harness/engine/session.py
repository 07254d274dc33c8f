"""What the engine works on: its settings, a pairing, and one instance from reference to trace."""

import os
from dataclasses import dataclass, field

import numpy as np

from ..errors import SimulatorError
from ..method import Method, Probabilities, Session
from ..simulator import Simulator
from ..types import Click, EncodedMask, Instance, InstanceRef, Opening, Status, Step, Trace
from .declared import Declared
from .guard import Failure, attempt
from .seeding import generator, method_seed

#: More threads are seldom all busy; fewer let a GPU wait for scores.
_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True)
class Settings:
    """How far and how wide the engine runs.

    clicks: the budget of every instance. stop_at: an IoU at which a trace ends, or None.
    batch_size: sessions per predict call at most. time_limit: seconds per predict call and
    session, or None. threads: for decoding, scoring and simulating beside the prediction.
    boundary_iou: score that too, after every click. save_masks: traces carry their last mask.
    """

    clicks: int = 20
    stop_at: float | None = None
    batch_size: int = 1
    time_limit: float | None = None
    threads: int = _THREADS
    boundary_iou: bool = False
    save_masks: bool = False


@dataclass(frozen=True)
class Pairing:
    """A method and a simulator that meet, with the names they have in traces, and the seed.

    declared: what the method declares, read once: it cannot change during a run.
    """

    method: Method
    method_name: str
    simulator: Simulator
    simulator_name: str
    seed: int = 0
    declared: Declared = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "declared", Declared.of(self.method))


@dataclass(eq=False)
class LiveSession:
    """One instance in the engine's pool.

    clicks: all so far; the method's session shows the same. steps: of the clicks that have been
    scored. trace: None until the session is finished. prediction: the method's newest map.
    predict_seconds: what the method has spent on the newest click. batch_key: a number that equal
    batch keys share. instance, session (what the
    method sees) and rng exist once `open` has succeeded.
    """

    pairing: Pairing
    ref: InstanceRef
    clicks: tuple[Click, ...] = ()
    steps: list[Step] = field(default_factory=list)
    trace: Trace | None = None
    prediction: Probabilities | None = None
    predict_seconds: float = 0.0
    begun: bool = False
    batch_key: int = 0
    instance: Instance = field(init=False)
    session: Session = field(init=False)
    rng: np.random.Generator = field(init=False)

    def open(self) -> "LiveSession":
        """Load the instance and place the opening clicks; fails where either cannot be done."""
        ref, seed, declared = self.ref, self.pairing.seed, self.pairing.declared
        loaded = attempt(ref.load, "data-failed")
        if isinstance(loaded, Failure):
            self.fail(loaded)
            return self
        self.instance = loaded
        loaded.image.flags.writeable = False
        loaded.mask.flags.writeable = False
        self.rng = generator(seed, ref.dataset, ref.name)
        clicks = attempt(lambda: self._opening(declared.opening), "simulator-failed")
        if isinstance(clicks, Failure):
            self.fail(clicks)
            return self
        self.clicks = clicks
        # A method can make a read-only array writeable, so it gets arrays of its own.
        image, truth = loaded.image.copy(), loaded.mask.copy() if declared.sees_truth else None
        for array in (image, truth):
            if array is not None:
                array.flags.writeable = False
        self.session = Session(
            image=image,
            clicks=self.clicks,
            dataset=ref.dataset,
            seed=method_seed(seed, ref.dataset, ref.name),
            truth=truth,
            _instance=ref.name,
        )
        return self

    def _opening(self, opening: Opening) -> tuple[Click, ...]:
        clicks = tuple(self.pairing.simulator.open(self.instance, opening, self.rng))
        if not clicks:
            raise SimulatorError("the simulator placed no opening click")
        return clicks

    def add_click(self, click: Click) -> None:
        """Go on with a correction of the newest prediction."""
        self.clicks = (*self.clicks, click)
        self.session.clicks = self.clicks
        self.session.previous = self.prediction
        self.predict_seconds = 0.0

    def add_score(self, iou: float, boundary_iou: float | None, score_seconds: float) -> None:
        """Add the steps of the clicks that led to this prediction; the newest carries its score.

        score_seconds: of scoring and simulating.
        """
        *earlier, newest = self.clicks[len(self.steps) :]
        seconds = self.predict_seconds
        self.steps.extend(Step(click) for click in earlier)
        self.steps.append(Step(newest, iou, seconds, seconds + score_seconds, boundary_iou))

    def fail(self, failure: Failure) -> None:
        """Finish with the steps so far; clicks without a prediction get a step without a score."""
        self.steps.extend(Step(click) for click in self.clicks[len(self.steps) :])
        self._finish(failure.status, failure)

    def succeed(self, mask: EncodedMask | None = None) -> None:
        """Finish. mask: the last one, where it is to be saved."""
        self._finish("ok", mask=mask)

    def _finish(
        self, status: Status, failure: Failure | None = None, mask: EncodedMask | None = None
    ) -> None:
        self.trace = Trace(
            self.pairing.method_name,
            self.ref.dataset,
            self.pairing.simulator_name,
            self.pairing.seed,
            self.ref.name,
            tuple(self.steps),
            status,
            failure.message if failure else None,
            mask,
            failure.traceback if failure else "",
        )
