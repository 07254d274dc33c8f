"""The ray executor: a pool of actors, on this machine or a cluster."""

import contextlib
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
from ray import cloudpickle, exceptions

from ..errors import DataError, IsegbenchError, UserError
from ..plan import Job
from ..types import InstanceRef, Trace
from .executor import Executor
from .status import PoolStatus, Watch
from .worker import Worker

#: An instance whose worker died this often is set aside.
_DEATHS = 2
#: How long a piece of work should take: the driver's death costs no more than this a worker.
_PIECE_SECONDS = 1.0
#: Pieces a worker holds, so that it never waits for the driver.
_DEPTH = 2


@dataclass(eq=False)
class _Piece:
    """Instances of one job that a worker gets in one call."""

    job: int
    refs: list[InstanceRef]


@dataclass(eq=False)
class _Member:
    """A worker and the pieces it holds, the one it is working on first."""

    actor: Any
    pieces: deque[tuple[Any, _Piece]] = field(default_factory=deque)


class RayPool(Executor):
    """Runs jobs on `workers` actors; each holds one method at a time.

    workers: number of actors; by default one a GPU share when gpus_per_worker is set, else one a
    core of the cluster. address: of a running cluster, else this machine. Images travel as their
    encoded bytes, so that workers need no shared disk. Work goes out largest image first, in
    pieces of about a second. A worker that dies is replaced and its instances are tried alone; an
    instance that kills its worker twice is set aside as "worker-died".
    """

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_worker: float = 0,
        address: str | None = None,
        runtime_env: dict[str, Any] | None = None,
        ship_package: bool = False,
    ) -> None:
        self._workers = workers
        self._gpus = gpus_per_worker
        self._address = address
        self._runtime_env = runtime_env
        self._ship_package = ship_package

    def describe(self) -> dict[str, Any]:
        return {
            "name": "ray",
            "workers": self._workers or "all",
            "gpus_per_worker": self._gpus,
            "address": self._address,
        }

    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        started_here = _connect(self._address, self._workers, self._gpus)
        try:
            workers = self._workers or _default_workers(self._gpus)
            if watch:
                watch(PoolStatus(alive=workers, wanted=workers))
            yield from _Run(jobs, workers, self._gpus).traces()
        finally:
            if started_here:
                ray.shutdown()


class _Run:
    """The state of one run: what waits, who works on what, who died on what."""

    def __init__(self, jobs: Sequence[Job], workers: int, gpus: float) -> None:
        self._jobs = jobs
        let_own_files_travel()
        self._shipped = [ray.put(_shipment(job)) for job in jobs]
        self._waiting = [deque(sorted(job.refs, key=lambda ref: -ref.image.size)) for job in jobs]
        self._alone: deque[_Piece] = deque()
        self._deaths: dict[tuple[int, str], int] = {}
        self._seconds: dict[int, float] = {}
        self._fruitless = 0
        self._gpus = gpus
        self._members = [self._recruit() for _ in range(min(workers, sum(map(len, self._waiting))))]

    def traces(self) -> Iterator[Trace]:
        try:
            while True:
                for member in self._members:
                    self._feed(member)
                owners = {future: member for member in self._members for future, _ in member.pieces}
                if not owners:
                    return
                done, _ = ray.wait(list(owners), num_returns=1)
                yield from self._collect(owners[done[0]], done[0])
        finally:
            for member in self._members:
                with contextlib.suppress(Exception):
                    ray.kill(member.actor)

    def _recruit(self) -> _Member:
        return _Member(Worker.options(num_cpus=1, num_gpus=self._gpus).remote())

    def _feed(self, member: _Member) -> None:
        while len(member.pieces) < _DEPTH:
            piece = self._next_piece()
            if piece is None:
                return
            held = [_held(ref) for ref in piece.refs]
            future = member.actor.work.remote(self._shipped[piece.job], piece.job, held)
            member.pieces.append((future, piece))

    def _next_piece(self) -> _Piece | None:
        if self._alone:
            return self._alone.popleft()
        for job, waiting in enumerate(self._waiting):
            if waiting:
                size = min(self._piece_size(job), len(waiting))
                return _Piece(job, [waiting.popleft() for _ in range(size)])
        return None

    def _piece_size(self, job: int) -> int:
        """As many instances as take about a second; small at the end, so that nobody idles."""
        batch = self._jobs[job].settings.batch_size
        # The engine fills batches from about twice as many sessions.
        least = 1 if batch == 1 else 2 * batch
        seconds = self._seconds.get(job)
        wanted = least if seconds is None else int(_PIECE_SECONDS / max(seconds, 1e-4))
        left = sum(map(len, self._waiting))
        fair = left // (2 * _DEPTH * len(self._members))
        return max(1, min(max(wanted, least), max(fair, batch), 64 * batch))

    def _collect(self, member: _Member, future: Any) -> Iterator[Trace]:
        piece = next(piece for held, piece in member.pieces if held == future)
        try:
            traces, busy = ray.get(future)
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause if isinstance(cause, IsegbenchError) else error from None
        except exceptions.RayError as error:
            yield from self._bury(member, error)
            return
        member.pieces = deque(held for held in member.pieces if held[1] is not piece)
        self._fruitless = 0
        self._seconds[piece.job] = busy / len(piece.refs)
        yield from traces

    def _bury(self, member: _Member, error: Exception) -> Iterator[Trace]:
        """Replace a dead worker; try its instances alone, and set aside who died twice."""
        self._fruitless += 1
        if self._fruitless > 2 * _DEATHS * len(self._members) + 4:
            raise UserError(
                f"workers die before they finish anything; the last one: {_reason(error)}"
            )
        pieces, member.pieces = list(member.pieces), deque()
        for index, (_, piece) in enumerate(pieces):
            for ref in piece.refs:
                key = (piece.job, ref.name)
                self._deaths[key] = self._deaths.get(key, 0) + (index == 0)
                if self._deaths[key] >= _DEATHS and len(piece.refs) == 1:
                    yield self._set_aside(piece.job, ref, error)
                else:
                    self._alone.append(_Piece(piece.job, [ref]))
        with contextlib.suppress(Exception):
            ray.kill(member.actor)
        member.actor = self._recruit().actor

    def _set_aside(self, job: int, ref: InstanceRef, error: Exception) -> Trace:
        what = self._jobs[job]
        return Trace(
            what.method.name,
            ref.dataset,
            what.simulator_name,
            what.seed,
            ref.name,
            (),
            "worker-died",
            f"its worker died {_DEATHS} times: {_reason(error)}",
        )


def _connect(address: str | None, workers: int | None, gpus: float) -> bool:
    """Join or start Ray; True when it was started here and is ours to stop."""
    if ray.is_initialized():
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray would run its workers at the lowest priority, behind whatever else the machine does.
    os.environ.setdefault("RAY_worker_niceness", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if address is None:
        options |= {"include_dashboard": False, "num_cpus": max(workers or 0, os.cpu_count() or 1)}
    _start(address, options)
    available = ray.cluster_resources().get("GPU", 0)
    if gpus > available:
        ray.shutdown()
        raise UserError(f"--gpus-per-worker {gpus:g}: the cluster has {available:g} GPU(s)")
    return True


def _start(address: str | None, options: dict[str, Any]) -> None:
    """Join a cluster, or start one here: tried again, as Ray gives a busy machine little time."""
    attempts = 1 if address else 3
    for attempt in range(1, attempts + 1):
        try:
            ray.init(address=address, **options)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == attempts:
                where = f"reach the Ray cluster at {address}" if address else "start Ray here"
                raise UserError(f"cannot {where}: {error}") from error


def _default_workers(gpus: float) -> int:
    resources = ray.cluster_resources()
    return max(1, int(resources.get("GPU", 0) / gpus) if gpus else int(resources.get("CPU", 1)))


def _shipment(job: Job) -> bytes:
    """What a worker needs to know of a job, as bytes that need no file of ours on its machine."""
    method = (job.method.name, job.method.build)
    simulator = (job.simulator_name, job.simulator)
    contents = (method, simulator, job.seed, job.settings)
    return cloudpickle.dumps(contents)  # pyright: ignore[reportPrivateImportUsage]


def let_own_files_travel() -> None:
    """Let what users' own files define travel whole, wherever it is held: inside a jittered
    simulator, in a partial decoder. Workers may not see those files."""
    for name, module in list(sys.modules.items()):
        if name.startswith("isegbench_user_"):
            cloudpickle.register_pickle_by_value(module)


def _held(ref: InstanceRef) -> InstanceRef:
    """With its bytes, or as it is when they cannot be read: the worker will meet the same error."""
    try:
        return ref.held()
    except DataError:
        return ref


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
