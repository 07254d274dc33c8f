"""One run on a cluster: send pieces of work to workers, receive traces, survive worker failures."""

import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import ray
from ray import exceptions

from ...errors import IsegbenchError, UserError
from ...planning.plan import Job
from ...planning.resources import Resources
from ...types import Trace
from ..executor import PoolStatus, Watch
from ..failing import Failing
from .cluster import Cluster
from .death import own_end
from .shipping import DriverPayloads, with_bytes
from .work_queue import DEPTH, Piece, WorkQueue
from .worker import ALIVE_SECONDS, MethodBuilt, MethodHung, TracesFinished, WeightsMissing
from .worker_failures import Cause, WorkerFailures
from .worker_group import WorkerGroup, WorkerHandle

#: The pieces in flight fill at most this share of the smallest node's object store.
_STORE_SHARE = 0.25
#: The most bytes of encoded images and masks in one piece.
_MAX_PIECE_BYTES = 64 * 2**20
#: When no node has room for a worker, the status says so after this long.
_NO_ROOM_NOTICE_SECONDS = 5.0
#: And the run stops after this long: an autoscaler may need minutes for a new node.
_NO_ROOM_LIMIT_SECONDS = 900.0
#: The longest part of one turn of the loop that counts as a worker's silence: the driver may have
#: been stopped itself, or the reader of the traces was slow.
_MAX_TURN_SECONDS = 2.0


class Dispatch:
    """The state of one run.

    shapes: the resources of a worker of each job, in the jobs' order. workers: how many of each
    shape, at most; None: as many as fit, while the cluster grows and shrinks. grace: seconds that
    a call may take beyond the time limit before its worker is killed.
    """

    def __init__(
        self,
        cluster: Cluster,
        jobs: Sequence[Job],
        shapes: Sequence[Resources],
        workers: int | None,
        grace: float,
        watch: Watch | None,
        stop_failing_after: int = 0,
    ) -> None:
        self._cluster = cluster
        self._max_workers = workers
        self._watch = watch
        self._reported = PoolStatus()
        self._last_room = time.monotonic()
        self._jobs = jobs
        self._grace = grace
        self._payloads = DriverPayloads(list(jobs), grace)
        self._failures = WorkerFailures(jobs)
        self._failing = Failing(stop_failing_after)
        self._groups: list[WorkerGroup] = []
        # Workers with GPUs come first: the others fit into the room that is left.
        for shape in sorted(set(shapes), key=lambda s: (-(s.gpus or 0), -s.cpus)):
            group_jobs = {n: job for n, job in enumerate(jobs) if shapes[n] == shape}
            count = workers or max(1, cluster.room(shape, []))
            share = cluster.store_bytes() * _STORE_SHARE / (DEPTH * count)
            piece_bytes = int(min(share, _MAX_PIECE_BYTES))
            self._groups.append(WorkerGroup(shape, WorkQueue(group_jobs, piece_bytes)))

    def traces(self) -> Iterator[Trace]:
        """All traces, in the order they finish; closing the iterator stops the workers."""
        try:
            turn = time.monotonic()
            while not all(group.finished for group in self._groups):
                self._start_workers()
                for group in self._groups:
                    for worker in group.alive:
                        self._send_work(group, worker)
                self._report_status()
                expected = self._expected_messages()
                ray.wait(list(expected), num_returns=1, timeout=1.0)
                # All messages that are there: `ray.wait` prefers the first futures of its list.
                ready, _ = ray.wait(list(expected), num_returns=len(expected), timeout=0)
                self._cluster.check()
                for future in ready:
                    group, worker = expected[future]
                    worker.silent = 0.0
                    yield from self._receive_message(group, worker, future)
                passed = min(time.monotonic() - turn, _MAX_TURN_SECONDS)
                turn = time.monotonic()
                for future in set(expected) - set(ready):
                    yield from self._check_silence(*expected[future], passed)
        finally:
            for group in self._groups:
                for worker in list(group.workers):
                    group.stop(worker)
            self._report_status()

    def _start_workers(self) -> None:
        taken: list[tuple[Resources, int]] = []
        for group in self._groups:
            if len(self._groups) > 1:
                group.stop_idle()
            wanted = self._max_workers or max(1, self._cluster.room(group.shape, taken))
            group.start_workers(wanted)
            taken.append((group.shape, len(group.workers)))

    def _expected_messages(self) -> dict[Any, tuple[WorkerGroup, WorkerHandle]]:
        """The futures of each worker's next message: that it started, or about its first piece."""
        expected = {}
        for group in self._groups:
            for worker in group.workers:
                if worker.started is None:
                    expected[worker.starting] = (group, worker)
                elif worker.pieces:
                    expected[worker.pieces[0][0]] = (group, worker)
        return expected

    def _send_work(self, group: WorkerGroup, worker: WorkerHandle) -> None:
        while len(worker.pieces) < DEPTH and not any(p.suspect for _, p in worker.pieces):
            methods = [other.method for other in group.alive]
            piece = group.queue.next_piece(worker.method, methods, len(worker.pieces))
            if piece is None:
                return
            shipment, weights = self._payloads.arguments(piece.job)
            refs = [with_bytes(ref) for ref in piece.refs.values()]
            messages = worker.actor.work.options(num_returns="streaming").remote(
                shipment, weights, piece.job, refs
            )
            worker.pieces.append((messages, piece))
            worker.method = group.queue.method_of(piece)

    def _receive_message(
        self, group: WorkerGroup, worker: WorkerHandle, future: Any
    ) -> Iterator[Trace]:
        """Handle the next message of a worker, or its failure; yields the traces it brings."""
        try:
            if worker.started is None:
                worker.started = ray.get(future)
                return
            message = ray.get(next(future))
        except StopIteration:
            _, piece = worker.pieces.popleft()
            group.queue.completed(piece)
            return
        except exceptions.RuntimeEnvSetupError as error:
            raise UserError(
                f"the runtime environment cannot be set up on a node: {error}"
            ) from None
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause if isinstance(cause, IsegbenchError) else error from None
        except exceptions.RayError as error:
            yield from self._handle_failure(group, worker, error, self._cause(worker, error))
            return
        piece = worker.pieces[0][1]
        if isinstance(message, TracesFinished):
            yield from self._receive_traces(message, piece)
        elif isinstance(message, MethodBuilt):
            worker.has_built = True
            group.queue.built(group.queue.method_of(piece), message.seconds)
        elif isinstance(message, WeightsMissing):
            self._payloads.send_weights(piece.job)
        elif isinstance(message, MethodHung):
            problem = "a prediction ran past its time limit"
            yield from self._handle_failure(group, worker, problem, "hung", message.instances)

    def _check_silence(
        self, group: WorkerGroup, worker: WorkerHandle, passed: float
    ) -> Iterator[Trace]:
        """Replace a worker whose process does not answer: it may be stopped (SIGSTOP).

        A method that runs too long, even one that holds the GIL, is ended in the worker before.
        """
        settings = self._jobs[worker.pieces[0][1].job].settings if worker.pieces else None
        if settings is None or settings.time_limit is None:
            return
        worker.silent += passed
        allowed = settings.time_limit * settings.batch_size + 3 * self._grace + ALIVE_SECONDS
        if worker.silent > allowed:
            problem = f"a worker did not answer for {worker.silent:.0f} s and was killed"
            yield from self._handle_failure(group, worker, problem, "killed")

    def _cause(self, worker: WorkerHandle, error: exceptions.RayError) -> Cause:
        """Whether a dead worker crashed by itself."""
        if not worker.has_built or worker.started is None or self._node_lost(worker, error):
            return "killed"
        end = own_end(error, worker.started.node, worker.started.log)
        return "crashed" if end else "killed"

    def _node_lost(self, worker: WorkerHandle, error: BaseException | str) -> bool:
        return "its node has died" in str(error) or (
            worker.started is not None and self._cluster.lost(worker.started.node)
        )

    def _receive_traces(self, message: TracesFinished, piece: Piece) -> Iterator[Trace]:
        self._failures.reset_streaks()
        piece.seconds += message.seconds
        for trace in message.traces:
            if piece.refs.pop(trace.instance, None) is not None:
                piece.done += 1
                yield trace
                if self._failing.add(trace):
                    for group in self._groups:
                        group.queue.drop(trace.method)

    def _handle_failure(
        self,
        group: WorkerGroup,
        worker: WorkerHandle,
        error: BaseException | str,
        cause: Cause,
        instances: tuple[str, ...] = (),
    ) -> Iterator[Trace]:
        """Remove a failed worker and put its instances back into the queue.

        Instances that it may have started are tried again, each alone on a worker; yields the
        traces of those that are set aside. instances: those of a call that did not return.
        """
        group.stop(worker)
        node_lost = self._node_lost(worker, error)
        if node_lost:
            self._failures.record_lost_node(error)
        else:
            self._failures.record(error, worker.has_built, len(group.workers) + 1)
        for index, (_, piece) in enumerate(worker.pieces):
            if index > 0 or node_lost or not worker.has_built:
                self._failures.count_retries(len(piece.refs))
                group.queue.put_back(piece)
                continue
            started = islice(piece.refs, group.queue.started(piece))
            suspects = set(instances or started)
            # A finished instance's trace may be lost when the next piece kills the worker.
            alone = piece.suspect
            for name in [name for name in piece.refs if name in suspects]:
                trace = self._failures.blame(piece.job, piece.refs[name], alone, cause)
                if trace:
                    del piece.refs[name]
                    yield trace
                else:
                    one = {name: piece.refs.pop(name)}
                    group.queue.put_back(Piece(piece.job, one, suspect=True))
            group.queue.put_back(piece)

    def _report_status(self) -> None:
        failures = self._failures
        status = PoolStatus(
            alive=sum(len(group.alive) for group in self._groups),
            wanted=sum(len(group.workers) for group in self._groups),
            failures=failures.count,
            retried=failures.retried,
            set_aside=failures.set_aside,
            problem=self._room_problem() or failures.problem,
        )
        if self._watch and status != self._reported:
            self._watch(status)
        self._reported = status

    def _room_problem(self) -> str:
        """Why no worker can start; "" when one is alive or has room.

        Raises UserError when that lasts too long.
        """
        waiting = [group for group in self._groups if group.workers]
        if any(group.alive or self._cluster.room(group.shape, []) for group in waiting):
            self._last_room = time.monotonic()
        seconds = time.monotonic() - self._last_room
        if not waiting or seconds < _NO_ROOM_NOTICE_SECONDS:
            return ""
        shapes = " and ".join(f"one worker ({group.shape})" for group in waiting)
        if seconds > _NO_ROOM_LIMIT_SECONDS:
            raise UserError(
                f"for {_NO_ROOM_LIMIT_SECONDS / 60:.3g} minutes no node of the cluster has had "
                f"room for {shapes}: ask for less, or add nodes. Everything finished is kept"
            )
        return f"no node of the cluster has room for {shapes}: waiting"
