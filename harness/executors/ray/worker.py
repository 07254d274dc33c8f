"""The actor of the ray executor: holds a method, runs the engine on what it is sent."""

import os
import queue
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import ray
from ray import cloudpickle

from ...engine import loop
from ...engine.seeding import method_seed
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
        self._current: tuple[Shipment, loop.Pairing] | None = None

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
            method = self._kept(contents.job.method.name)
            if method is None:
                started = time.monotonic()
                method = self._thread.submit(contents.job.method.build).result()
                yield Built(time.monotonic() - started)
            self._current = contents, contents.job.pairing(method)
            self._job = job
        yield from self._run(*self._current, refs)

    def _kept(self, name: str) -> Method | None:
        """The method of that name, if it is the one built last; else its memory is free again."""
        before, self._current = self._current, None
        return before[1].method if before and before[0].job.method.name == name else None

    def _run(
        self, shipment: Shipment, pairing: loop.Pairing, refs: list[InstanceRef]
    ) -> Iterator[Word]:
        watched, pairing = _watched(pairing, shipment)
        results: queue.SimpleQueue[Trace | None] = queue.SimpleQueue()
        running = self._thread.submit(_score, pairing, refs, shipment.job.settings, results)
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
            if watched and (late := watched.overdue()):
                yield Hung(_names(late, shipment.job.seed, refs))
                return


def _watched(pairing: loop.Pairing, shipment: Shipment) -> tuple[Watched | None, loop.Pairing]:
    """The pairing with its method under a clock, where there is a time limit."""
    limit = shipment.job.settings.time_limit
    if limit is None:
        return None, pairing
    method = Watched(pairing.method, limit, shipment.grace)
    return method, replace(pairing, method=method)


def _score(
    pairing: loop.Pairing,
    refs: list[InstanceRef],
    settings: loop.Settings,
    results: "queue.SimpleQueue[Trace | None]",
) -> None:
    """Run the engine; None comes last, however it ends."""
    try:
        for trace in loop.run(pairing, refs, settings):
            results.put(trace)
    finally:
        results.put(None)


def _names(seeds: tuple[int, ...], seed: int, refs: list[InstanceRef]) -> tuple[str, ...]:
    """The instances whose sessions have these seeds."""
    return tuple(ref.name for ref in refs if method_seed(seed, ref.dataset, ref.name) in seeds)
