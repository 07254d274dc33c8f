"""The interface of an executor, and the status of its workers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from ..planning.plan import Job, MethodPlan
from ..types import Trace


@dataclass(frozen=True)
class PoolStatus:
    """The workers of a run at one moment, and their failures so far.

    alive: workers that have started. wanted: workers requested; those not alive are starting or
    wait for room in the cluster. failures: workers that died, were lost with their node, or were
    killed because their method hung. retried: instances put back into the queue after a failure.
    set_aside: instances given up after several worker failures. problem: the last failure in one
    line; "" when there was none.
    """

    alive: int = 0
    wanted: int = 0
    failures: int = 0
    retried: int = 0
    set_aside: int = 0
    problem: str = ""


#: Called whenever the status has changed, in the thread that iterates over the traces.
Watch = Callable[[PoolStatus], None]


class Executor(ABC):
    """Runs jobs through the engine and yields each trace as soon as it is finished.

    The traces are the same for every executor. Closing the iterator stops the work.
    """

    @abstractmethod
    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        """The traces of all instances of all jobs, in any order, each once.

        watch: called with the status of the workers; never by an executor without workers.
        """

    @abstractmethod
    def room(self, methods: Sequence[MethodPlan]) -> AbstractContextManager[Mapping[str, int]]:
        """How many workers of each method, by its name, fit when no other method runs.

        A context manager: `run` inside of it uses what it has started, such as Ray. Raises
        UserError when that cannot be started.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """The executor's entry in the manifest."""
