"""The actor of the ray executor: holds a method, runs the engine on what it is sent."""

import os
import time
from typing import Any

import ray
from ray import cloudpickle

from .. import engine
from ..types import InstanceRef, Trace


@ray.remote(max_restarts=0, max_task_retries=0)
class Worker:
    """One worker process. Keeps the method of the job it worked on last."""

    def __init__(self) -> None:
        # One thread a worker: the pool is as wide as the machine.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._job: int | None = None
        self._pairing: engine.Pairing | None = None
        self._settings = engine.Settings()

    def work(self, shipment: bytes, job: int, refs: list[InstanceRef]) -> tuple[list[Trace], float]:
        """Traces of the instances, and the seconds they took without building the method."""
        pairing = self._prepare(shipment, job)
        started = time.monotonic()
        traces = list(engine.run(pairing, refs, self._settings))
        return traces, time.monotonic() - started

    def _prepare(self, shipment: bytes, job: int) -> engine.Pairing:
        if self._pairing is None or job != self._job:
            contents: Any = cloudpickle.loads(shipment)
            (method_name, build), (simulator_name, simulator), seed, self._settings = contents
            same = self._pairing is not None and self._pairing.method_name == method_name
            method = self._pairing.method if same and self._pairing else build()
            self._pairing = engine.Pairing(method, method_name, simulator, simulator_name, seed)
            self._job = job
        return self._pairing
