"""The executor interface, and the status of the workers during a run."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..planning.plan import Job
from ..types import Trace


@dataclass(frozen=True)
class PoolStatus:
    """The workers of a run at one moment, and their failures so far.

    alive: workers that run. wanted: workers requested; those not alive are starting or wait for
    room in the cluster. deaths: workers that died, were lost with their node, or hung and were
    killed. retried: instances given to another worker because of that. set_aside: instances
    given up, because they killed or hung a worker twice. problem: the newest worker failure in
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
    """Runs the engine on jobs and yields each trace as soon as it is finished.

    Every executor gives the same traces. Closing the iterator stops the work.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        """The traces of all instances of all jobs, in any order, each once.

        watch: called with the status of the workers; an executor without workers does not call it.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The manifest's entry about the executor."""
