"""The actor of the ray executor: holds a method, runs the engine on what it is sent."""

import os
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray
from ray import cloudpickle

from ...engine.loop import Engine
from ...engine.session import Pairing
from ...method import Method
from ...types import InstanceRef, Trace
from .shipping import Chunks, Shipment, unpack_weights
from .watchdog import Watched

#: Finished traces leave the worker no later than this, whatever else it still works on.
_SEND_SECONDS = 0.2
#: How often a worker looks whether its method hangs.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Hello:
    """A worker's first word: where it is."""

    node: str
    pid: int


@dataclass(frozen=True)
class Finished:
    """Traces that are done. seconds: of work since the last of these, without building."""

    traces: list[Trace]
    seconds: float


@dataclass(frozen=True)
class Built:
    """A method was built. seconds: that it took."""

    seconds: float


@dataclass(frozen=True)
class Missing:
    """The worker's node has no copy of a method's weights; nothing was done."""


@dataclass(frozen=True)
class Hung:
    """The method does not come back from these instances: the worker must be replaced."""

    instances: tuple[str, ...]


Word = Finished | Built | Missing | Hung


@ray.remote(max_restarts=0, max_task_retries=0)
class Worker:
    """One worker process. Keeps the method it worked with last."""

    def __init__(self, threads: int) -> None:
        # A worker's libraries get the cores it was given: the pool is as wide as the machine.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        # One thread for everything a method does: libraries keep state for each thread.
        self._thread = ThreadPoolExecutor(1, "engine")
        self._job: int | None = None
        self._current: tuple[str, Method, Engine] | None = None

    def hello(self) -> Hello:
        return Hello(ray.get_runtime_context().get_node_id(), os.getpid())

    def work(
        self, shipment: bytes, weights: Chunks, job: int, refs: list[InstanceRef]
    ) -> Iterator[Word]:
        """Score the instances and say what happens, as it happens.

        weights: of the job's method, where the driver has sent them.
        """
        if self._current is None or job != self._job:
            contents: Shipment = cloudpickle.loads(shipment)
            if not unpack_weights(contents.weights, weights):
                yield Missing()
                return
            method = self._kept(contents.method_name)
            if method is None:
                started = time.monotonic()
                method = self._thread.submit(contents.build).result()
                yield Built(time.monotonic() - started)
            self._current = contents.method_name, method, _engine(method, contents)
            self._job = job
        yield from self._run(self._current[2], refs)

    def _kept(self, name: str) -> Method | None:
        """The method of that name, if it is the one built last; else its memory is free again."""
        before, self._current = self._current, None
        return before[1] if before and before[0] == name else None

    def _run(self, engine: Engine, refs: list[InstanceRef]) -> Iterator[Word]:
        method = engine.pairing.method
        results: queue.SimpleQueue[Trace | None] = queue.SimpleQueue()
        running = self._thread.submit(_score, engine, refs, results)
        started = time.monotonic()
        ready: list[Trace] = []
        while True:
            wait = _LOOK_SECONDS if not ready else started + _SEND_SECONDS - time.monotonic()
            try:
                trace = results.get(timeout=max(wait, 0.001))
                ended = trace is None
                ready += [] if trace is None else [trace]
            except queue.Empty:
                ended = False
            now = time.monotonic()
            if ready and (ended or now - started >= _SEND_SECONDS):
                yield Finished(ready, now - started)
                ready, started = [], time.monotonic()
            if ended:
                running.result()
                return
            if isinstance(method, Watched) and (late := method.overdue()):
                yield Hung(late)
                return


def _engine(method: Method, shipment: Shipment) -> Engine:
    """The engine of a job; where there is a time limit, its method is a `Watched`."""
    limit = shipment.settings.time_limit
    if limit is not None:
        method = Watched(method, limit, shipment.grace)
    simulator = (shipment.simulator, shipment.simulator_name)
    pairing = Pairing(method, shipment.method_name, *simulator, shipment.seed)
    return Engine(pairing, shipment.settings)


def _score(
    engine: Engine, refs: list[InstanceRef], results: "queue.SimpleQueue[Trace | None]"
) -> None:
    """Run the engine; None comes last, however it ends."""
    try:
        for trace in engine.run(refs):
            results.put(trace)
    finally:
        results.put(None)
