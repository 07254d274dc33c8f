"""What the engine works on: its settings, a pairing, and a session with its trace so far."""

import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import DataError, MethodError, SimulatorError
from ..method import Method, Session
from ..simulator import Simulator
from ..types import EncodedMask, Instance, InstanceRef, Status, Step, Trace
from .gpu import own_lane

#: More than these have seldom work; fewer let a GPU wait for scores.
_THREADS = max(2, min(8, (os.cpu_count() or 2) // 2))


@dataclass(frozen=True)
class Settings:
    """How far and how wide the engine runs.

    clicks: the budget of every instance. stop_at: an IoU at which a trace ends, or None.
    batch_size: sessions per predict call at most. time_limit: seconds per predict call and
    session, or None. threads: for decoding, scoring and simulating beside the prediction.
    boundary_iou: score that too, after every click. save_masks: traces carry their last mask.
    assess_on_device: score maps that are on a GPU there, and look there for `largest-error`'s
    click, a whole batch in one go; for methods whose maps are tensors.
    """

    clicks: int = 20
    stop_at: float | None = None
    batch_size: int = 1
    time_limit: float | None = None
    threads: int = _THREADS
    boundary_iou: bool = False
    save_masks: bool = False
    assess_on_device: bool = False


@dataclass(frozen=True)
class Pairing:
    """A method and a simulator that meet, with the names they have in traces, and the seed.

    fits: the largest batches that the device's memory has room for, by batch key; learnt.
    """

    method: Method
    method_name: str
    simulator: Simulator
    simulator_name: str
    seed: int = 0
    fits: dict[Hashable, int] = field(default_factory=dict, compare=False)


@dataclass(eq=False)
class Live:
    """One session in the pool.

    seconds: what the method has spent on the newest click. truth: the ground truth on the device
    that assesses, once it is there.
    """

    instance: Instance
    session: Session
    rng: np.random.Generator
    steps: list[Step] = field(default_factory=list)
    begun: bool = False
    batch_key: Hashable = None
    seconds: float = 0.0
    truth: Any = None

    def record(self, score: float, boundary: float | None, assessing: float) -> None:
        """Add the steps of the clicks that led to this prediction; the newest carries its score.

        assessing: seconds of scoring and simulating.
        """
        *earlier, newest = self.session.clicks[len(self.steps) :]
        self.steps.extend(Step(click) for click in earlier)
        self.steps.append(Step(newest, score, self.seconds, self.seconds + assessing, boundary))


def prepared_here(pairing: Pairing, live: Live, batching: bool) -> Live | Trace:
    """Prepare a session in a thread of the pool, where the method may be met there."""
    if not pairing.method.threaded:
        return live
    with own_lane():
        return prepared(pairing, live, batching)


def prepared(pairing: Pairing, live: Live, batching: bool) -> Live | Trace:
    """Let the method begin a new session, and ask with whom it may share a batch."""
    started = perf_counter()
    try:
        if not live.begun:
            pairing.method.begin(live.session)
            live.begun = True
        if batching:
            live.batch_key = pairing.method.batch_key(live.session)
            hash(live.batch_key)
    except Exception as error:
        return spoiled(pairing, live, "method-failed", error)
    live.seconds = perf_counter() - started
    return live


def spoiled(pairing: Pairing, live: Live, status: Status, error: Exception) -> Trace:
    """The trace of a session that failed: its steps, and the clicks that got no prediction."""
    unanswered = live.session.clicks[len(live.steps) :]
    live.steps.extend(Step(click) for click in unanswered)
    return trace_of(pairing, live.instance, live.steps, status, error)


def trace_of(
    pairing: Pairing,
    instance: Instance | InstanceRef,
    steps: Sequence[Step],
    status: Status = "ok",
    error: Exception | None = None,
    mask: EncodedMask | None = None,
) -> Trace:
    """The trace of an instance, with the pairing's names."""
    return Trace(
        pairing.method_name,
        instance.dataset,
        pairing.simulator_name,
        pairing.seed,
        instance.name,
        tuple(steps),
        status,
        describe(error) if error else None,
        mask,
    )


def describe(error: BaseException) -> str:
    """An error in one line; where it was not ours, with the place in the code it came from."""
    if isinstance(error, (DataError, MethodError, SimulatorError)):
        return str(error)
    place = ""
    frame = error.__traceback__
    while frame is not None:
        place = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
        frame = frame.tb_next
    return f"{type(error).__name__}: {error}{place}"
