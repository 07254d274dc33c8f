"""What an executor is, and what it reports of its workers while it runs."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..planning.plan import Job
from ..types import Trace


@dataclass(frozen=True)
class PoolStatus:
    """The workers of a run at one moment, and what has happened to them so far.

    alive: workers that have answered. wanted: workers asked for; those not alive are starting or
    wait for the cluster to have room. deaths: workers that died, were lost with their node, or
    hung and were killed. retried: instances handed out again because of that. set_aside:
    instances given up, as they killed or hung their worker twice. problem: the newest death in
    one line, "" when there was none.
    """

    alive: int = 0
    wanted: int = 0
    deaths: int = 0
    retried: int = 0
    set_aside: int = 0
    problem: str = ""


#: Called, in the thread that iterates over the traces, whenever the status has changed.
Watch = Callable[[PoolStatus], None]


class Executor(ABC):
    """Runs jobs through the engine and hands back each trace as soon as it is there.

    Whatever runs them, the traces are the same. Closing the iterator stops the work.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        """The traces of all instances of all jobs, in any order, each once.

        watch: told of the workers; never by an executor that has none.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What the manifest says of where a run was computed."""
