"""The work queue: the instances to be done, and the piece of work a worker gets next."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...planning.plan import Job
from ...types import InstanceRef

#: How long a piece of work should take, in seconds.
_PIECE_SECONDS = 1.0
#: Pieces sent to a worker at a time: while it does one, the next one is there already.
DEPTH = 2


@dataclass(eq=False)
class Piece:
    """Instances of one job that a worker gets in one call.

    job: its number in the run. refs: the instances not done yet, by name. done: how many are
    done. seconds: of work on those. suspect: a worker has died on its one instance; its worker
    holds nothing else meanwhile, so that no other instance can be the cause.
    """

    job: int
    refs: dict[str, InstanceRef]
    done: int = 0
    seconds: float = 0.0
    suspect: bool = False


class WorkQueue:
    """The waiting instances of all jobs whose workers need the same resources.

    A worker keeps its method while instances wait for it, so that few methods are built; a worker
    without such work goes to the method with most seconds of work for each of its workers. Within
    a method, the data set with the largest image comes first, and in it the largest image. A
    piece takes about a second; at the end pieces are single instances, so that all workers finish
    at about the same time.

    jobs: by their numbers in the run. piece_bytes: the most bytes of encoded images and masks in
    one piece; a single instance may have more.
    """

    def __init__(self, jobs: Mapping[int, Job], piece_bytes: int) -> None:
        self._jobs = jobs
        self._piece_bytes = piece_bytes
        self._waiting: dict[int, deque[InstanceRef]] = {}
        self._retries: dict[str, deque[Piece]] = {}
        self._jobs_of: dict[str, list[int]] = {}
        self._remaining: dict[str, int] = {}
        self._seconds: dict[int, float] = {}
        self._build_seconds: dict[str, float] = {}
        self._dropped: set[str] = set()
        largest: dict[int, int] = {}
        for number, job in jobs.items():
            by_size = sorted(((ref.image.size, ref) for ref in job.refs), key=lambda pair: -pair[0])
            self._waiting[number] = deque(ref for _, ref in by_size)
            largest[number] = by_size[0][0] if by_size else 0
            self._jobs_of.setdefault(job.method.name, []).append(number)
        for method, numbers in self._jobs_of.items():
            numbers.sort(key=lambda number: -largest[number])
            self._remaining[method] = sum(len(self._waiting[number]) for number in numbers)
            self._retries[method] = deque()

    @property
    def remaining(self) -> int:
        """How many instances wait for a worker."""
        return sum(self._remaining.values())

    def completed(self, piece: Piece) -> None:
        """Record how long the instances of a piece took, and take back those that are not done."""
        if piece.done:
            self._seconds[piece.job] = piece.seconds / piece.done
        if piece.refs:
            self.put_back(piece)

    def built(self, method: str, seconds: float) -> None:
        """Record how long a worker took to build a method."""
        self._build_seconds[method] = seconds

    def put_back(self, piece: Piece) -> None:
        """Take back the instances that a worker did not do; they come first in the queue."""
        method = self.method_of(piece)
        if piece.refs and method not in self._dropped:
            self._remaining[method] += len(piece.refs)
            self._retries[method].append(Piece(piece.job, piece.refs, suspect=piece.suspect))

    def drop(self, method: str) -> None:
        """Take a method's instances out; those that workers hold are done, or dropped if not."""
        self._dropped.add(method)
        if method in self._remaining:
            self._remaining[method] = 0
            self._retries[method].clear()
            for number in self._jobs_of[method]:
                self._waiting[number].clear()

    def started(self, piece: Piece) -> int:
        """How many of a piece's unfinished instances its worker may have started, at most.

        The engine starts them in order; finished ones may not have reached the driver yet.
        """
        settings = self._jobs[piece.job].settings
        seconds = piece.seconds / piece.done if piece.done else self._seconds.get(piece.job)
        if seconds is None:
            return len(piece.refs)
        admitted = 2 * settings.batch_size + settings.threads + 1
        return admitted + int(_PIECE_SECONDS / max(seconds, 1e-4))

    def method_of(self, piece: Piece) -> str:
        """The name of the method that a piece is for."""
        return self._jobs[piece.job].method.name

    def next_piece(
        self, method: str | None, methods: Sequence[str | None], pending: int
    ) -> Piece | None:
        """A piece of work for a worker, or None when there is no work for it now.

        method: the one that the worker has, if any. methods: those of all workers alive, this one
        included. pending: how many pieces it holds; near the end of the queue a worker gets a
        piece only when it holds none, and a suspect is always its only piece.
        """
        chosen = self._choose(method, methods)
        if chosen is None or (pending and self._remaining[chosen] < 2 * DEPTH * len(methods)):
            return None
        retries = self._retries[chosen]
        if pending and retries and retries[0].suspect:
            return None
        if retries:
            piece = retries.popleft()
        else:
            job = next(number for number in self._jobs_of[chosen] if self._waiting[number])
            piece = self._cut(job, len(methods))
        self._remaining[chosen] -= len(piece.refs)
        return piece

    def _choose(self, method: str | None, methods: Sequence[str | None]) -> str | None:
        if method is not None and self._remaining.get(method):
            return method
        most, best = 0.0, None
        for name in self._remaining:
            if not self._remaining[name]:
                continue
            workers = methods.count(name)
            if not workers:
                # No worker has this method: it comes before methods that have workers.
                share = float("inf")
            else:
                share = self._seconds_remaining(name) / workers
                if share < self._build_seconds.get(name, 0):
                    continue
            if share > most:
                most, best = share, name
        return best

    def _seconds_remaining(self, method: str) -> float:
        """An estimate; an instance of unknown cost counts one second."""
        numbers = self._jobs_of[method]
        known = [self._seconds[number] for number in numbers if number in self._seconds]
        usual = max(known, default=1.0)
        return self._remaining[method] * usual

    def _cut(self, job: int, workers: int) -> Piece:
        """Take instances for about a second of work from the queue; fewer near its end."""
        waiting = self._waiting[job]
        batch = self._jobs[job].settings.batch_size
        # The last batches of a piece are smaller: a piece holds several batches to make up for it.
        least = 1 if batch == 1 else 4 * batch
        seconds = self._seconds.get(job)
        wanted = least if seconds is None else int(_PIECE_SECONDS / max(seconds, 1e-4))
        fair = self._remaining[self._jobs[job].method.name] // (2 * DEPTH * workers)
        size = max(1, min(max(wanted, least), max(fair, batch), 64 * batch))
        refs: dict[str, InstanceRef] = {}
        size_bytes = 0
        while waiting and len(refs) < size:
            size_bytes += waiting[0].image.size + waiting[0].mask.size
            if refs and size_bytes > self._piece_bytes:
                break
            ref = waiting.popleft()
            refs[ref.name] = ref
        return Piece(job, refs)
