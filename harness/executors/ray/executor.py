"""The ray executor: a pool of actors, on this machine or a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from ...planning.plan import Job
from ...planning.resources import Resources
from ...types import Trace
from ..executor import Executor, Watch
from .cluster import Cluster
from .crash_notice import LastWords
from .dispatch import Dispatch
from .package import carrying_package

_ENDED = (
    "isegbench has ended without a word: it was killed, or Ray's daemon on this machine was, which "
    "takes it along. Everything finished is kept; the same command goes on where it stopped."
)
#: Seconds a prediction may take beyond its time limit before its worker is killed.
GRACE_SECONDS = 10.0


class RayPool(Executor):
    """Runs jobs on actors that hold a method each.

    workers: how many actors, for each kind of resources that methods ask for; by default as many
    as fit in the cluster, also while it grows and shrinks. gpus_per_worker: for methods that do
    not say it themselves. address: of a running cluster, else this machine. runtime_env: what
    Ray is to bring to the nodes, as `ray.init` takes it; ship_package: this package too.

    Images travel as their encoded bytes and weights once to each node, so that no shared disk is
    needed. Work goes out largest image first, in pieces of about a second, and traces come back
    as they are finished. A worker that dies, or hangs past its time limit, is replaced and its
    instances are tried alone; one that does so twice is set aside as "worker-died" or
    "timed-out". Whoever was on a node that is lost is tried again.
    """

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_worker: float = 0,
        address: str | None = None,
        runtime_env: dict[str, Any] | None = None,
        ship_package: bool = False,
    ) -> None:
        self._workers = workers
        self._gpus = gpus_per_worker
        self._address = address
        self._runtime_env = runtime_env
        self._ship_package = ship_package

    def describe(self) -> dict[str, Any]:
        return {
            "name": "ray",
            "workers": self._workers or "all",
            "gpus_per_worker": self._gpus,
            "address": self._address,
            "runtime_env": self._runtime_env,
            "ship_package": self._ship_package,
        }

    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        shapes = [self._shape(job) for job in jobs]
        with (
            LastWords(_ENDED),
            self._environment() as environment,
            Cluster(self._address, self._workers, shapes, environment) as cluster,
        ):
            dispatch = Dispatch(cluster, jobs, shapes, self._workers, GRACE_SECONDS, watch)
            yield from dispatch.traces()

    def _environment(self) -> AbstractContextManager[dict[str, Any] | None]:
        if self._ship_package:
            return carrying_package(self._runtime_env)
        return nullcontext(self._runtime_env)

    def _shape(self, job: Job) -> Resources:
        asked = job.method.resources
        return asked if asked.gpus is not None else replace(asked, gpus=self._gpus)
