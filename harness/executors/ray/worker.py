"""The worker, a Ray actor: it builds a method and runs the engine on instances."""

import concurrent.futures
import os
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ray
from ray import cloudpickle

from ...engine.loop import Engine
from ...method import Method
from ...types import InstanceRef, Trace
from .death import error_log, note_own_ends
from .shipping import Chunks, Shipment, unpack_weights
from .watchdog import Watched

#: Finished traces are sent to the driver at least this often.
_SEND_SECONDS = 0.2
#: How often a worker checks whether its method hangs.
_CHECK_SECONDS = 0.5
#: A worker without other news sends a message this often while it builds a method or works.
ALIVE_SECONDS = 2.0


@dataclass(frozen=True)
class WorkerStarted:
    """A worker's first message.

    node: the id of its node in Ray. log: the file on that node with its standard error, or "".
    """

    node: str
    log: str


@dataclass(frozen=True)
class TracesFinished:
    """Finished traces. seconds: of work since the last such message; building is not counted."""

    traces: list[Trace]
    seconds: float


@dataclass(frozen=True)
class MethodBuilt:
    """A method was built. seconds: how long that took."""

    seconds: float


@dataclass(frozen=True)
class WeightsMissing:
    """The worker's node has no copy of a method's weights; nothing was computed."""


@dataclass(frozen=True)
class MethodHung:
    """A call of the method with these instances did not return: the worker must be replaced."""

    instances: tuple[str, ...]


@dataclass(frozen=True)
class StillAlive:
    """The worker's process runs; nothing else is new."""


Message = TracesFinished | MethodBuilt | WeightsMissing | MethodHung | StillAlive


@ray.remote(max_restarts=0, max_task_retries=0)
class Worker:
    """One worker process. It keeps the method it used last."""

    def __init__(self, threads: int) -> None:
        # Libraries use as many threads as the worker has cores; their default is all cores.
        os.environ.setdefault("OMP_NUM_THREADS", str(threads))
        note_own_ends()
        # All calls of a method run in one thread: libraries keep state for each thread.
        self._thread = ThreadPoolExecutor(1, "engine")
        self._job: int | None = None
        self._current: tuple[str, Method, Engine] | None = None

    def started(self) -> WorkerStarted:
        return WorkerStarted(ray.get_runtime_context().get_node_id(), error_log())

    def work(
        self, shipment: bytes, weights: Chunks, job: int, refs: list[InstanceRef]
    ) -> Iterator[Message]:
        """Run the engine on the instances; yields messages as things happen.

        shipment: a pickled `Shipment`. weights: those that the driver has put into Ray.
        """
        if self._current is None or job != self._job:
            contents: Shipment = cloudpickle.loads(shipment)
            unpacked = self._thread.submit(unpack_weights, contents.weights, weights)
            yield from _alive_until(unpacked)
            if not unpacked.result():
                yield WeightsMissing()
                return
            method = self._reusable(contents.job.method.name)
            if method is None:
                started = time.monotonic()
                built = self._thread.submit(contents.job.method.build)
                yield from _alive_until(built)
                method = built.result()
                yield MethodBuilt(time.monotonic() - started)
            self._current = contents.job.method.name, method, _engine(method, contents)
            self._job = job
        yield from self._run(self._current[2], refs)

    def _reusable(self, name: str) -> Method | None:
        """The method of that name if it was built last; another method is released first."""
        before, self._current = self._current, None
        return before[1] if before and before[0] == name else None

    def _run(self, engine: Engine, refs: list[InstanceRef]) -> Iterator[Message]:
        method = engine.pairing.method
        results: queue.SimpleQueue[Trace | None] = queue.SimpleQueue()
        running = self._thread.submit(_score, engine, refs, results)
        started = sent = time.monotonic()
        ready: list[Trace] = []
        while True:
            wait = _CHECK_SECONDS if not ready else started + _SEND_SECONDS - time.monotonic()
            try:
                trace = results.get(timeout=max(wait, 0.001))
                ended = trace is None
                ready += [] if trace is None else [trace]
            except queue.Empty:
                ended = False
            now = time.monotonic()
            if ready and (ended or now - started >= _SEND_SECONDS):
                yield TracesFinished(ready, now - started)
                ready, started = [], time.monotonic()
                sent = started
            elif now - sent >= ALIVE_SECONDS:
                yield StillAlive()
                sent = now
            if ended:
                running.result()
                return
            if isinstance(method, Watched) and (late := method.overdue()):
                yield MethodHung(late)
                return


def _alive_until(future: concurrent.futures.Future) -> Iterator[StillAlive]:
    """Yield a message from time to time until a future is done."""
    while concurrent.futures.wait([future], ALIVE_SECONDS).not_done:
        yield StillAlive()


def _engine(method: Method, shipment: Shipment) -> Engine:
    """The engine of a job; where there is a time limit, its method is a `Watched`."""
    job = shipment.job
    if job.settings.time_limit is not None:
        method = Watched(method, job.settings.time_limit, shipment.grace)
    return Engine(job.pairing(method), job.settings)


def _score(
    engine: Engine, refs: list[InstanceRef], results: "queue.SimpleQueue[Trace | None]"
) -> None:
    """Run the engine; None comes last, however it ends."""
    try:
        for trace in engine.run(refs):
            results.put(trace)
    finally:
        results.put(None)
