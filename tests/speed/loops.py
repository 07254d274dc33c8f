"""The two loops the speed table compares, each with a clock at every stage."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter, process_time
from typing import Any

import torch
from reference import reference_iou, reference_opening

from isegbench.harness.engine import score
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.seeding import generator
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.engine.wrapped_method import WrappedMethod
from isegbench.harness.method import Method, Session
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.openings import opening_clicks
from isegbench.harness.simulators.rule import next_click
from isegbench.harness.types import Instance, InstanceRef, Trace

#: In the order of the work.
STAGES = ("decode", "pre", "network", "post", "score", "simulate")


class Clock:
    """Seconds by stage, from any thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = Lock()

    def add(self, stage: str, seconds: float) -> None:
        with self._lock:
            self.seconds[stage] += seconds

    @contextmanager
    def on(self, stage: str) -> Iterator[None]:
        started = perf_counter()
        try:
            yield
        finally:
            self.add(stage, perf_counter() - started)

    def around(self, stage: str, call: Callable) -> Callable:
        """The same function with the clock on."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self.on(stage):
                return call(*args, **kwargs)

        return timed


class Timed(WrappedMethod):
    """A method whose work is divided into pre-processing, network and post-processing.

    The network is what lies between the start of the first module that runs and the end of the
    last; a method without modules is all network.
    """

    def __init__(self, inner: Method, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock
        self._first = self._last = 0.0
        hooks = torch.nn.modules.module
        hooks.register_module_forward_pre_hook(self._starts)
        hooks.register_module_forward_hook(self._ends)

    def _starts(self, *_: Any) -> None:
        self._first = self._first or perf_counter()

    def _ends(self, *_: Any) -> None:
        self._last = perf_counter()

    def begin(self, session: Session) -> None:
        with self._clock.on("pre"):
            super().begin(session)

    def batch_key(self, session: Session) -> Any:
        with self._clock.on("pre"):
            return super().batch_key(session)

    def predict(self, sessions: Sequence[Session]) -> Sequence[Any]:
        self._first = self._last = 0.0
        started = perf_counter()
        maps = super().predict(sessions)
        _synchronise()
        ended = perf_counter()
        first, last = self._first or started, self._last or ended
        for stage, seconds in (
            ("pre", first - started),
            ("network", last - first),
            ("post", ended - last),
        ):
            self._clock.add(stage, seconds)
        return maps


@dataclass
class Outcome:
    """What a loop did: seconds of the wall, of the processor and of each stage, clicks, traces.

    in_method: the wall's seconds that were the method's (begin, batch_key and predict).
    """

    wall: float
    processor: float
    stages: dict[str, float]
    clicks: dict[str, list[tuple]]
    ious: dict[str, list[float]] = field(default_factory=dict)
    traces: list[Trace] = field(default_factory=list)

    @property
    def in_method(self) -> float:
        return sum(self.stages.get(stage, 0.0) for stage in ("pre", "network", "post"))


def sequential(
    method: Any, refs: Sequence[InstanceRef], budget: int, again: bool, detailed: bool
) -> Outcome:
    """One image after the other, one click after the other, everything in turn.

    again: begin anew at every click, as where the released code keeps nothing between clicks.
    """
    clock = Clock()
    method = Timed(method, clock) if detailed else method
    placed: dict[str, list[tuple]] = {}
    ious: dict[str, list[float]] = {}
    started, spent = perf_counter(), process_time()
    for ref in refs:
        with clock.on("decode"):
            instance = ref.load()
        with clock.on("simulate"):
            rng = generator(0, ref.dataset, ref.name)
            clicks = opening_clicks(method.opening, instance.mask, rng)
            clicks = reference_opening(clicks, instance.mask)
        session, ious[ref.name] = _begun(method, instance, clicks), []
        while True:
            if again and len(ious[ref.name]):
                session = _begun(method, instance, clicks)
            session.clicks = tuple(clicks)
            (probabilities,) = method.predict([session])
            session.previous = probabilities
            with clock.on("score"):
                if isinstance(probabilities, torch.Tensor):
                    probabilities = probabilities.cpu().numpy()
                mask = probabilities > method.threshold
                ious[ref.name].append(reference_iou(mask, instance.mask))
            if len(clicks) >= budget or not method.corrections:
                break
            with clock.on("simulate"):
                click = next_click(mask, instance.mask, clicks)
            if click is None:
                break
            clicks.append(click)
        placed[ref.name] = [(c.y, c.x, c.kind) for c in clicks]
    spent = process_time() - spent
    return Outcome(perf_counter() - started, spent, dict(clock.seconds), placed, ious)


def _begun(method: Any, instance: Instance, clicks: Sequence[Any]) -> Session:
    session = Session(instance.image, tuple(clicks), dataset=instance.dataset)
    method.begin(session)
    return session


class _TimedRef:
    """A reference whose loading is timed; the engine asks for no more."""

    def __init__(self, ref: InstanceRef, clock: Clock) -> None:
        self.dataset, self.name = ref.dataset, ref.name
        self.load = clock.around("decode", ref.load)


def ours(
    method: Any, refs: Sequence[InstanceRef], budget: int, batch: int, detailed: bool
) -> Outcome:
    """The engine on the same instances with the same protocol."""
    clock = Clock()
    simulator = LargestError()
    chosen: Sequence[Any] = refs
    if detailed:
        method = Timed(method, clock)
        chosen = [_TimedRef(ref, clock) for ref in refs]
        simulator.open = clock.around("simulate", simulator.open)
        simulator.correct = clock.around("simulate", simulator.correct)
    engine = Engine(Pairing(method, "m", simulator, "s"), Settings(clicks=budget, batch_size=batch))
    plain = score.checked_mask, score.iou
    if detailed:
        score.checked_mask, score.iou = (clock.around("score", call) for call in plain)
    try:
        started, spent = perf_counter(), process_time()
        traces = list(engine.run(chosen))
        wall, spent = perf_counter() - started, process_time() - spent
    finally:
        score.checked_mask, score.iou = plain
    for trace in traces:
        if trace.status != "ok":
            raise RuntimeError(f"{trace.instance}: {trace.error}")
    placed = {
        trace.instance: [(s.click.y, s.click.x, s.click.kind) for s in trace.steps]
        for trace in traces
    }
    ious = {t.instance: [s.iou for s in t.steps if s.iou is not None] for t in traces}
    return Outcome(wall, spent, dict(clock.seconds), placed, ious, traces)


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
