"""What an executor is, and which there are."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

from ..config import RunConfig
from ..plan import Job
from ..types import Trace
from .status import Watch


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


def make_executor(config: RunConfig) -> Executor:
    """The executor a configuration asks for; ray is imported only when it is wanted."""
    if config.executor == "ray":
        from .ray_pool import RayPool

        return RayPool(
            config.workers,
            config.gpus_per_worker,
            config.ray_address,
            config.runtime_env,
            config.ship_package,
        )
    from .inline import Inline

    return Inline()
