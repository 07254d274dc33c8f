"""The ray executor: workers on this machine or a cluster."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ...planning.plan import Job, MethodPlan
from ...planning.resources import Resources
from ...types import Trace
from ..executor import Executor, Watch
from .cluster import Cluster
from .dispatch import Dispatch
from .package import with_package

#: Seconds a prediction may take beyond its time limit before its worker is killed.
GRACE_SECONDS = 10.0


class RayPool(Executor):
    """Runs jobs on Ray workers, each with one method.

    workers: how many, for each kind of resources that methods need; None: as many as fit in the
    cluster, also while it grows and shrinks. gpus_per_worker: for methods that do not say it
    themselves. address: of a running cluster; None: this machine. runtime_env: what Ray installs
    on the nodes, as `ray.init` takes it. ship_package: add this package to it.

    Images are sent as their encoded bytes and weights once to each node, so that no shared disk
    is needed. Instances with large images are sent first, in pieces of about a second, and traces
    are received as they finish. A worker that dies or hangs is replaced, and its instances are
    tried again, each alone on a worker. An instance is set aside as "worker-died" or "timed-out"
    after two crashes or hangs, or after five worker failures with kills from outside counted.
    Instances of a lost node are tried again.
    """

    def __init__(
        self,
        workers: int | None = None,
        gpus_per_worker: float = 0,
        address: str | None = None,
        runtime_env: dict[str, Any] | None = None,
        ship_package: bool = False,
        stop_failing_after: int = 0,
    ) -> None:
        self._workers = workers
        self._gpus = gpus_per_worker
        self._address = address
        self._runtime_env = runtime_env
        self._ship_package = ship_package
        self._stop_failing_after = stop_failing_after
        self._cluster: Cluster | None = None

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
        shapes = [self._shape(job.method) for job in jobs]
        with self._joined(shapes) as cluster:
            limits = self._workers, GRACE_SECONDS, watch, self._stop_failing_after
            yield from Dispatch(cluster, jobs, shapes, *limits).traces()

    @contextmanager
    def room(self, methods: Sequence[MethodPlan]) -> Iterator[dict[str, int]]:
        shapes = {method.name: self._shape(method) for method in methods}
        with self._joined(list(shapes.values())) as cluster:
            fits = {name: max(1, cluster.room(shape, [])) for name, shape in shapes.items()}
            yield {name: min(fit, self._workers or fit) for name, fit in fits.items()}

    @contextmanager
    def _joined(self, shapes: Sequence[Resources]) -> Iterator[Cluster]:
        """The cluster, joined or started once also where two contexts are open."""
        if self._cluster is not None:
            yield self._cluster
            return
        environment = self._runtime_env
        if self._ship_package:
            environment = with_package(environment)
        with Cluster(self._address, self._workers, shapes, environment) as cluster:
            self._cluster = cluster
            try:
                yield cluster
            finally:
                self._cluster = None

    def _shape(self, method: MethodPlan) -> Resources:
        wanted = method.resources
        return wanted if wanted.gpus is not None else replace(wanted, gpus=self._gpus)
