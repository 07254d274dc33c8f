"""Calling the method: timed, and tried again in smaller groups where a group fails."""

from collections.abc import Callable, Hashable
from itertools import islice
from time import perf_counter
from typing import Any, TypeVar

from ..errors import MethodError
from .guard import Failure, attempt
from .process_state import process_state_kept
from .score import own_map
from .session import LiveSession

T = TypeVar("T")

#: Seconds that a call may take beyond its time limit before it is interrupted: one that is only a
#: little late ends by itself.
_GRACE_SECONDS = 1.0
#: So many batch keys are kept; more are seldom equal to later ones.
_KEYS = 1000


class BatchSizes:
    """How many sessions may share a predict call: `wanted`, or fewer where memory was too small.

    Batch keys are user code: they are compared in `number_of` alone, inside of a guard.
    """

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        #: By the number of a batch key, where a larger batch ran out of the device's memory.
        self.reduced: dict[int, int] = {}
        self._numbers: dict[Hashable, int] = {}
        self._next = 0

    def number_of(self, batch_key: Hashable) -> int:
        """A number that equal batch keys share."""
        if len(self._numbers) > _KEYS:
            self._numbers.clear()
        self._next += 1
        return self._numbers.setdefault(batch_key, self._next)

    def of(self, batch_key: int) -> int:
        """The largest batch for that key."""
        return self.reduced.get(batch_key, self.wanted)

    def is_full(self, group: list[LiveSession]) -> bool:
        """Whether no more sessions may join the group."""
        return bool(group) and len(group) >= self.of(group[0].batch_key)

    def largest_group(self, sessions: list[LiveSession]) -> list[LiveSession]:
        """The largest group that may share a batch; of equal ones the oldest. [] from none."""
        groups: dict[int, list[LiveSession]] = {}
        for live in sessions:
            group = groups.setdefault(live.batch_key, [])
            if not self.is_full(group):
                group.append(live)
        return max(groups.values(), key=len, default=[])

    def halve(self, group: list[LiveSession]) -> tuple[list[LiveSession], list[LiveSession]]:
        """The halves of a group that was too large for the memory; later batches are no larger."""
        half = (len(group) + 1) // 2
        key = group[0].batch_key
        self.reduced[key] = min(half, self.of(key))
        return group[:half], group[half:]


def prepare(live: LiveSession, sizes: BatchSizes, time_limit: float | None) -> None:
    """Begin the method's session, if new, and get the batch key of its next prediction.

    time_limit: seconds; None for any time.
    """
    method = live.pairing.method
    started = perf_counter()

    def call() -> None:
        if not live.begun:
            method.begin(live.session)
            live.begun = True
        if sizes.wanted > 1:
            live.batch_key = sizes.number_of(method.batch_key(live.session))

    found = _attempt(call, 1, time_limit)
    live.predict_seconds += perf_counter() - started
    if isinstance(found, Failure):
        live.fail(found)


def predict(group: list[LiveSession], sizes: BatchSizes, time_limit: float | None) -> None:
    """Predict a group that shares a batch key: each session gets its prediction, or fails.

    A group that fails is predicted again in parts: in halves where the device's memory was too
    small, else one by one, so that only the session that causes the failure is lost. time_limit:
    seconds for each session of the group; None for any time.
    """
    method = group[0].pairing.method
    started = perf_counter()

    def call() -> list[Any]:
        found = method.predict([live.session for live in group])
        # One more than wanted is too many; a generator may have no end.
        maps = list(islice(found, len(group) + 1))
        if len(maps) != len(group):
            said = "more" if len(maps) > len(group) else len(maps)
            raise MethodError(f"predict returned {said} maps for {len(group)} session(s)")
        # The method may fill the same array again, so the engine keeps its own.
        return [
            own_map(prediction, live.instance.mask.shape)
            for live, prediction in zip(group, maps, strict=True)
        ]

    maps = _attempt(call, len(group), time_limit)
    if not isinstance(maps, Failure):
        seconds = (perf_counter() - started) / len(group)
        for live, prediction in zip(group, maps, strict=True):
            live.prediction = prediction
            live.predict_seconds += seconds
    elif len(group) == 1:
        group[0].fail(maps)
    else:
        parts = sizes.halve(group) if maps.out_of_memory else [[live] for live in group]
        for part in parts:
            predict(part, sizes, time_limit)


def _attempt(call: Callable[[], T], sessions: int, time_limit: float | None) -> T | Failure:
    """Call a method in a thread that no other method runs in."""

    def kept() -> T:
        with process_state_kept():
            return call()

    seconds = None if time_limit is None else time_limit * sessions + _GRACE_SECONDS
    return attempt(kept, "method-failed", seconds)
