"""One run on a cluster: workers get pieces, traces come back, deaths cost only themselves."""

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
from .cluster import Cluster
from .shipping import Freight, held
from .work_queue import DEPTH, Backlog, Piece
from .worker import Built, Finished, Hung, Missing
from .worker_failures import Deaths
from .worker_group import Crew, Member

#: The pieces in flight fill at most this share of the smallest node's object store.
_STORE_SHARE = 0.25
#: A piece's encoded images and masks, at most.
_MOST_PIECE_BYTES = 64 * 2**20
#: A wait for room is said after, and given up after: an autoscaler may need minutes for a node.
_LOOK_SECONDS = 5.0
_ROOM_PATIENCE_SECONDS = 900.0


class Dispatch:
    """The state of one run.

    shapes: what a worker of each job occupies, in the jobs' order. workers: how many of each
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
    ) -> None:
        self._cluster = cluster
        self._workers = workers
        self._watch = watch
        self._told = PoolStatus()
        self._roomy = time.monotonic()
        self._freight = Freight(list(jobs), grace)
        self._deaths = Deaths(jobs)
        self._crews: list[Crew] = []
        # Who needs what is scarce comes first; the others take the room that is left.
        for shape in sorted(set(shapes), key=lambda s: (-(s.gpus or 0), -s.cpus)):
            mine = {n: job for n, job in enumerate(jobs) if shapes[n] == shape}
            crew = workers or max(1, cluster.room(shape, []))
            share = cluster.store_bytes() * _STORE_SHARE / (DEPTH * crew)
            piece_bytes = int(min(share, _MOST_PIECE_BYTES))
            self._crews.append(Crew(shape, Backlog(mine, piece_bytes)))

    def traces(self) -> Iterator[Trace]:
        """All traces; leaving it ends the workers."""
        try:
            while not all(crew.finished for crew in self._crews):
                self._recruit()
                for crew in self._crews:
                    for member in crew.alive:
                        self._feed(crew, member)
                self._tell()
                awaited = self._awaited()
                ray.wait(list(awaited), num_returns=1, timeout=1.0)
                # All who have something to say, as Ray asks them in the same order every time.
                said, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
                self._cluster.check()
                for future in said:
                    yield from self._hear(*awaited[future], future)
        finally:
            for crew in self._crews:
                for member in list(crew.members):
                    crew.dismiss(member)
            self._tell()

    def _recruit(self) -> None:
        taken: list[tuple[Resources, int]] = []
        for crew in self._crews:
            if len(self._crews) > 1:
                crew.release_idle()
            wanted = self._workers or max(1, self._cluster.room(crew.shape, taken))
            crew.recruit(wanted)
            taken.append((crew.shape, len(crew.members)))

    def _awaited(self) -> dict[Any, tuple[Crew, Member]]:
        """What may be heard of next: a first word, or the next word about a running piece."""
        awaited = {}
        for crew in self._crews:
            for member in crew.members:
                if member.hello is None:
                    awaited[member.greeting] = (crew, member)
                elif member.pieces:
                    awaited[member.pieces[0][0]] = (crew, member)
        return awaited

    def _feed(self, crew: Crew, member: Member) -> None:
        while len(member.pieces) < DEPTH:
            methods = [other.method for other in crew.alive]
            piece = crew.backlog.next_piece(member.method, methods, len(member.pieces))
            if piece is None:
                return
            shipment, weights = self._freight.of(piece.job)
            refs = [held(ref) for ref in piece.refs.values()]
            words = member.actor.work.options(num_returns="streaming").remote(
                shipment, weights, piece.job, refs
            )
            member.pieces.append((words, piece))
            member.method = crew.backlog.method_of(piece)

    def _hear(self, crew: Crew, member: Member, future: Any) -> Iterator[Trace]:
        """Take in what a worker says next; its silence is its death."""
        try:
            if member.hello is None:
                member.hello = ray.get(future)
                return
            word = ray.get(next(future))
        except StopIteration:
            _, piece = member.pieces.popleft()
            crew.backlog.completed(piece)
            return
        except exceptions.RuntimeEnvSetupError as error:
            raise UserError(
                f"the runtime environment cannot be set up on a node: {error}"
            ) from None
        except exceptions.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            raise cause if isinstance(cause, IsegbenchError) else error from None
        except exceptions.RayError as error:
            yield from self._bury(crew, member, error)
            return
        piece = member.pieces[0][1]
        if isinstance(word, Finished):
            yield from self._receive(word, piece)
        elif isinstance(word, Built):
            member.proven = True
            crew.backlog.built(crew.backlog.method_of(piece), word.seconds)
        elif isinstance(word, Missing):
            self._freight.send_weights(piece.job)
        elif isinstance(word, Hung):
            yield from self._bury(crew, member, "a prediction ran past its time limit", word)

    def _receive(self, word: Finished, piece: Piece) -> Iterator[Trace]:
        self._deaths.fruit()
        piece.seconds += word.seconds
        for trace in word.traces:
            # Who is told of a trace it knows already has been told by a worker thought dead.
            if piece.refs.pop(trace.instance, None) is not None:
                piece.done += 1
                yield trace

    def _bury(
        self, crew: Crew, member: Member, error: BaseException | str, hung: Hung | None = None
    ) -> Iterator[Trace]:
        """Take back a dead worker's work; try alone what it was at, set aside who died twice."""
        crew.dismiss(member)
        lost = "its node has died" in str(error) or (
            member.hello is not None and self._cluster.lost(member.hello.node)
        )
        if lost:
            self._deaths.note_lost_node(error)
        else:
            self._deaths.record(error, member.proven, len(crew.members) + 1)
        for index, (_, piece) in enumerate(member.pieces):
            if index > 0 or lost or not member.proven:
                self._deaths.again(len(piece.refs))
                crew.backlog.put_back(piece)
                continue
            begun = islice(piece.refs, crew.backlog.begun(piece))
            suspects = set(hung.instances if hung else begun)
            alone = len(piece.refs) == 1
            for name in [name for name in piece.refs if name in suspects]:
                trace = self._deaths.blame(piece.job, piece.refs[name], alone, hung is not None)
                if trace:
                    del piece.refs[name]
                    yield trace
                else:
                    crew.backlog.put_back(Piece(piece.job, {name: piece.refs.pop(name)}))
            crew.backlog.put_back(piece)

    def _tell(self) -> None:
        deaths = self._deaths
        status = PoolStatus(
            alive=sum(len(crew.alive) for crew in self._crews),
            wanted=sum(len(crew.members) for crew in self._crews),
            deaths=deaths.count,
            retried=deaths.retried,
            set_aside=deaths.set_aside,
            problem=self._without_room() or deaths.problem,
        )
        if self._watch and status != self._told:
            self._watch(status)
        self._told = status

    def _without_room(self) -> str:
        """What the run waits for; "" when somebody works. Raises UserError after a long wait."""
        waiting = [crew for crew in self._crews if crew.members]
        if any(crew.alive or self._cluster.room(crew.shape, []) for crew in waiting):
            self._roomy = time.monotonic()
        shapes = " and ".join(f"one worker ({crew.shape})" for crew in waiting)
        if not waiting or time.monotonic() - self._roomy < _LOOK_SECONDS:
            return ""
        if time.monotonic() - self._roomy > _ROOM_PATIENCE_SECONDS:
            raise UserError(
                f"for {_ROOM_PATIENCE_SECONDS / 60:.3g} minutes no node of the cluster has had "
                f"room for {shapes}: ask for less, or add nodes. Everything finished is kept"
            )
        return f"no node of the cluster has room for {shapes}: waiting"
