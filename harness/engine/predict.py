"""Calling the method: timed, and tried again in smaller groups where a group fails."""

from collections.abc import Hashable
from time import perf_counter

from ..errors import MethodError
from .guard import Failure, guard
from .session import LiveSession


class BatchSizes:
    """How many sessions may share a predict call: `wanted`, or fewer where memory was too small."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        #: By batch key, where a larger batch ran out of the device's memory.
        self.reduced: dict[Hashable, int] = {}

    def of(self, batch_key: Hashable) -> int:
        """The largest batch for that key."""
        return self.reduced.get(batch_key, self.wanted)

    def is_full(self, group: list[LiveSession]) -> bool:
        """Whether no more sessions may join the group."""
        return bool(group) and len(group) >= self.of(group[0].batch_key)

    def largest_group(self, sessions: list[LiveSession]) -> list[LiveSession]:
        """The largest group that may share a batch; of equal ones the oldest. [] from none."""
        groups: dict[Hashable, list[LiveSession]] = {}
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


def prepare(live: LiveSession, batched: bool) -> None:
    """Begin the method's session, if new, and get the batch key of its next prediction."""
    method = live.pairing.method
    started = perf_counter()
    with guard("method-failed", live.fail):
        if not live.begun:
            method.begin(live.session)
            live.begun = True
        if batched:
            live.batch_key = method.batch_key(live.session)
            hash(live.batch_key)
    live.predict_seconds += perf_counter() - started


def predict(group: list[LiveSession], sizes: BatchSizes) -> None:
    """Predict a group that shares a batch key: each session gets its prediction, or fails.

    A group that fails is predicted again in parts: in halves where the device's memory was too
    small, else one by one, so that only the session that causes the failure is lost.
    """
    method = group[0].pairing.method
    failures: list[Failure] = []
    started = perf_counter()
    with guard("method-failed", failures.append):
        maps = list(method.predict([live.session for live in group]))
        if len(maps) != len(group):
            raise MethodError(f"predict returned {len(maps)} maps for {len(group)} session(s)")
        seconds = (perf_counter() - started) / len(group)
        for live, prediction in zip(group, maps, strict=True):
            live.prediction = prediction
            live.predict_seconds += seconds
    if not failures:
        return
    (failure,) = failures
    if len(group) == 1:
        group[0].fail(failure)
        return
    parts = sizes.halve(group) if failure.out_of_memory else [[live] for live in group]
    for part in parts:
        predict(part, sizes)
