"""Predicting a group of sessions: timed, tried again in parts where it fails as one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

from ..errors import MethodError
from ..method import Probabilities
from ..types import Trace
from .gpu import Mark
from .session import Live, Pairing, spoiled


@dataclass(frozen=True)
class Coming:
    """A prediction that the device may still be at work on.

    finish: gives the map. began, ends: the device's work on the whole group. share: the seconds
    that giving it this work took, for one session. sessions: of the group.
    """

    finish: Callable[[], Probabilities]
    began: Mark
    ends: Mark
    share: float
    sessions: int

    def arrive(self) -> tuple[Probabilities, float]:
        """Wait for the map; the map, and the seconds that the method spent on it."""
        self.ends.wait()
        started = perf_counter()
        probabilities = self.finish()
        finishing = perf_counter() - started
        on_device = self.ends.seconds_since(self.began) / self.sessions
        return probabilities, max(self.share, on_device) + finishing


def launch(pairing: Pairing, group: list[Live]) -> Iterator[tuple[Live, Coming | Trace]]:
    """Start to predict a group; each session comes with what is coming, or its failure's trace."""
    began, started = Mark(), perf_counter()
    try:
        coming = list(pairing.method.launch([live.session for live in group]))
        if len(coming) != len(group):
            raise MethodError(f"predict returned {len(coming)} maps for {len(group)} session(s)")
    except Exception as error:
        if len(group) == 1:
            yield group[0], spoiled(pairing, group[0], "method-failed", error)
            return
        parts = _parts(pairing, group, error)
    else:
        parts = []
    # Only here is the error gone, and with it the memory of the batch that its frames held.
    for part in parts:
        yield from launch(pairing, part)
    if parts:
        return
    share, ends = (perf_counter() - started) / len(group), Mark()
    for live, finish in zip(group, coming, strict=True):
        yield live, Coming(finish, began, ends, share, len(group))


def _parts(pairing: Pairing, group: list[Live], error: Exception) -> list[list[Live]]:
    """The smaller groups in which to try again what failed as one.

    Where the device's memory was too small, halves, and the half is remembered. Else somebody in
    the batch is to blame; alone, the others still get their maps.
    """
    if not _out_of_memory(error):
        return [[live] for live in group]
    half = (len(group) + 1) // 2
    key = group[0].batch_key
    pairing.fits[key] = min(half, pairing.fits.get(key, half))
    return [group[:half], group[half:]]


def _out_of_memory(error: Exception) -> bool:
    """Whether a device had too little memory; recognised without importing who raises it."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and "out of memory" in str(error).lower())
