"""The workers that occupy the same resources."""

import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray

from ...planning.resources import Resources
from .work_queue import Piece, WorkQueue
from .worker import Worker, WorkerStarted


@dataclass(eq=False)
class WorkerHandle:
    """The driver's record of one worker.

    actor: Ray's handle. starting: the future of its first message. started: that message; None
    while the worker starts or waits for room in the cluster. method: the name of the method that
    its last piece was for. has_built: whether it has built a method. silent: seconds without a
    message while it had work. pieces: the work sent to it, the running piece first, each with the
    stream of the worker's messages about it.
    """

    actor: Any
    starting: Any
    started: WorkerStarted | None = None
    has_built: bool = False
    silent: float = 0.0
    method: str | None = None
    pieces: deque[tuple[Any, Piece]] = field(default_factory=deque)


class WorkerGroup:
    """Workers that occupy the same resources, and the queue they work on."""

    def __init__(self, shape: Resources, queue: WorkQueue) -> None:
        self.shape = shape
        self.queue = queue
        self.workers: list[WorkerHandle] = []

    @property
    def alive(self) -> list[WorkerHandle]:
        """The workers that have started."""
        return [worker for worker in self.workers if worker.started]

    @property
    def busy(self) -> int:
        """How many instances the workers hold."""
        return sum(len(piece.refs) for worker in self.workers for _, piece in worker.pieces)

    @property
    def finished(self) -> bool:
        """Whether the queue is empty and no worker holds a piece."""
        return not self.queue.remaining and not any(worker.pieces for worker in self.workers)

    def start_workers(self, wanted: int) -> None:
        """Start workers until there are `wanted`, or one for each unfinished instance."""
        useful = min(wanted, self.queue.remaining + self.busy)
        while len(self.workers) < useful:
            actor = Worker.options(
                num_cpus=self.shape.cpus,
                num_gpus=self.shape.gpus or 0,
                memory=self.shape.memory,
                scheduling_strategy="SPREAD",
            ).remote(max(1, int(self.shape.cpus)))
            self.workers.append(WorkerHandle(actor, actor.started.remote()))

    def stop_idle(self) -> None:
        """Stop the workers without a piece once the queue is empty: another group may need room."""
        if not self.queue.remaining:
            for worker in [worker for worker in self.workers if not worker.pieces]:
                self.stop(worker)

    def stop(self, worker: WorkerHandle) -> None:
        """Kill a worker, which may be dead already, and remove it from the group."""
        self.workers.remove(worker)
        with contextlib.suppress(Exception):
            ray.kill(worker.actor)
