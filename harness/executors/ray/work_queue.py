"""What is left to do, and which part of it a worker does next."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...planning.plan import Job
from ...types import InstanceRef

#: How long a piece of work should take.
_PIECE_SECONDS = 1.0
#: Pieces a worker holds, so that it never waits for the driver.
DEPTH = 2


@dataclass(eq=False)
class Piece:
    """Instances of one job that a worker gets in one call, by name; each leaves as it is done.

    seconds: of work on those that have left.
    """

    job: int
    refs: dict[str, InstanceRef]
    done: int = 0
    seconds: float = 0.0


class Backlog:
    """The instances that wait, of jobs whose workers need the same resources.

    A worker keeps to its method while that has work, so that it builds few of them; a free one
    goes where most work is left for each worker. Within a method the data set with the largest
    images comes first, and in it the largest image; pieces take about a second, and become
    single instances at the end, so that all workers finish together.

    jobs: by their numbers in the run. piece_bytes: encoded images and masks in one piece, at
    most, unless it is a single instance.
    """

    def __init__(self, jobs: Mapping[int, Job], piece_bytes: int) -> None:
        self._jobs = jobs
        self._piece_bytes = piece_bytes
        self._waiting: dict[int, deque[InstanceRef]] = {}
        self._again: dict[str, deque[Piece]] = {}
        self._of_method: dict[str, list[int]] = {}
        self._left: dict[str, int] = {}
        self._seconds: dict[int, float] = {}
        self._build_seconds: dict[str, float] = {}
        largest: dict[int, int] = {}
        for number, job in jobs.items():
            by_size = sorted(((ref.image.size, ref) for ref in job.refs), key=lambda pair: -pair[0])
            self._waiting[number] = deque(ref for _, ref in by_size)
            largest[number] = by_size[0][0] if by_size else 0
            self._of_method.setdefault(job.method.name, []).append(number)
        for method, numbers in self._of_method.items():
            numbers.sort(key=lambda number: -largest[number])
            self._left[method] = sum(len(self._waiting[number]) for number in numbers)
            self._again[method] = deque()

    @property
    def left(self) -> int:
        """How many instances wait to be handed out."""
        return sum(self._left.values())

    def completed(self, piece: Piece) -> None:
        """Learn from a piece how long its job's instances take; what is left of it comes back."""
        if piece.done:
            self._seconds[piece.job] = piece.seconds / piece.done
        if piece.refs:
            self.put_back(piece)

    def built(self, method: str, seconds: float) -> None:
        """Learn how long a worker takes to build a method."""
        self._build_seconds[method] = seconds

    def put_back(self, piece: Piece) -> None:
        """Take back what a worker did not do; it comes before what nobody has tried."""
        if piece.refs:
            method = self.method_of(piece)
            self._left[method] += len(piece.refs)
            self._again[method].append(Piece(piece.job, piece.refs))

    def begun(self, piece: Piece) -> int:
        """How many of the instances left of a piece its worker may have begun, at most.

        The engine admits them in order, and finished ones are on their way for a moment.
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
        self, method: str | None, crew: Sequence[str | None], holding: int
    ) -> Piece | None:
        """Work for a worker, or None when there is nothing that it should do now.

        method: the one it has built, if any. crew: those of all workers alive, itself included.
        holding: pieces it has already; at the end everything waits for who is free first.
        """
        chosen = self._choose(method, crew)
        if chosen is None or (holding and self._left[chosen] < 2 * DEPTH * len(crew)):
            return None
        if self._again[chosen]:
            piece = self._again[chosen].popleft()
        else:
            job = next(number for number in self._of_method[chosen] if self._waiting[number])
            piece = self._cut(job, len(crew))
        self._left[chosen] -= len(piece.refs)
        return piece

    def _choose(self, method: str | None, crew: Sequence[str | None]) -> str | None:
        if method is not None and self._left.get(method):
            return method
        most, best = 0.0, None
        for name in self._left:
            if not self._left[name]:
                continue
            workers = crew.count(name)
            if not workers:
                # Nobody is at it: that comes before helping others.
                share = float("inf")
            else:
                share = self._seconds_left(name) / workers
                if share < self._build_seconds.get(name, 0):
                    continue
            if share > most:
                most, best = share, name
        return best

    def _seconds_left(self, method: str) -> float:
        """A guess; an instance of unknown cost counts a second."""
        numbers = self._of_method[method]
        known = [self._seconds[number] for number in numbers if number in self._seconds]
        usual = max(known, default=1.0)
        return self._left[method] * usual

    def _cut(self, job: int, workers: int) -> Piece:
        """As many instances as take about a second; few at the end, so that nobody idles."""
        waiting = self._waiting[job]
        batch = self._jobs[job].settings.batch_size
        # Batches shrink as a piece runs out of sessions: that should not be most of the time.
        least = 1 if batch == 1 else 4 * batch
        seconds = self._seconds.get(job)
        wanted = least if seconds is None else int(_PIECE_SECONDS / max(seconds, 1e-4))
        fair = self._left[self._jobs[job].method.name] // (2 * DEPTH * workers)
        size = max(1, min(max(wanted, least), max(fair, batch), 64 * batch))
        refs: dict[str, InstanceRef] = {}
        held = 0
        while waiting and len(refs) < size:
            held += waiting[0].image.size + waiting[0].mask.size
            if refs and held > self._piece_bytes:
                break
            ref = waiting.popleft()
            refs[ref.name] = ref
        return Piece(job, refs)
