"""Starting or joining Ray, its resources, and a check whether it still answers."""

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import ray

from ...errors import UserError
from ...planning.resources import Resources

#: The run stops when Ray's control service has not answered for this long.
_PATIENCE_SECONDS = 20.0
#: How often a connection to the control service is tried.
_CHECK_SECONDS = 2.0
#: How often the list of nodes is read.
_NODES_SECONDS = 5.0


class Cluster:
    """Ray, joined or started by this process; a context manager that stops what it has started.

    address: of a running cluster; None: start Ray on this machine. workers: the largest number
    of workers. shapes: the resources of one worker, for each job. runtime_env: as `ray.init`
    takes it. Raises UserError when Ray cannot be reached or started, or when it was started here
    and has no room for one worker.
    """

    def __init__(
        self,
        address: str | None,
        workers: int | None,
        shapes: Sequence[Resources],
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        self._started_here = connect(address, workers, shapes, runtime_env)
        self._control = _control_address()
        self._checked = self._answered = time.monotonic()
        self._listed = -_NODES_SECONDS
        self._nodes: list[dict[str, Any]] = []

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._started_here:
            ray.shutdown()

    def check(self) -> None:
        """Raise UserError when Ray was stopped or has not answered for some time.

        Call it every few seconds: Ray ends this process without a message after a minute without
        an answer.
        """
        if not ray.is_initialized():
            raise UserError(_gone_message("was stopped in this process"))
        if time.monotonic() - self._checked < _CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        if self._control is None or _reachable(self._control):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > _PATIENCE_SECONDS:
            host, port = self._control
            raise UserError(_gone_message(f"at {host}:{port} does not answer any more"))

    def room(self, shape: Resources, taken: Sequence[tuple[Resources, int]]) -> int:
        """How many workers of a shape fit in the cluster now, beside those `taken`."""
        nodes = self._current()
        fits = sum(_fit(node, shape) for node in nodes)
        cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
        cpus -= sum(other.cpus * count for other, count in taken)
        gpus -= sum((other.gpus or 0) * count for other, count in taken)
        if shape.cpus:
            fits = min(fits, int(cpus / shape.cpus + 1e-9))
        if shape.gpus:
            fits = min(fits, int(gpus / shape.gpus + 1e-9))
        return max(fits, 0)

    def store_bytes(self) -> float:
        """The size of the smallest object store of a node, in bytes."""
        sizes = [node.get("object_store_memory", 0) for node in self._current()]
        return min((size for size in sizes if size), default=2**30)

    def lost(self, node: str) -> bool:
        """Whether a node has left the cluster."""
        return any(n["NodeID"] == node and not n["Alive"] for n in ray.nodes())

    def _current(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._listed > _NODES_SECONDS:
            self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._listed = time.monotonic()
        return self._nodes


def connect(
    address: str | None,
    workers: int | None,
    shapes: Sequence[Resources],
    runtime_env: dict[str, Any] | None = None,
) -> bool:
    """Join or start Ray; False when this process uses Ray already, so that it must stay."""
    if ray.is_initialized():
        if runtime_env:
            raise UserError(
                "Ray is in use in this process already: give its runtime environment to ray.init"
            )
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # By default Ray runs its workers at the lowest priority of the machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if runtime_env:
        options["runtime_env"] = runtime_env
    if address is None:
        wanted = (workers or 0) * max((shape.cpus for shape in shapes), default=1)
        cores = max(int(wanted), os.cpu_count() or 1)
        options |= {"include_dashboard": False, "num_cpus": cores}
    start(address, options)
    try:
        if address is None:
            _require_room(shapes)
    except UserError:
        ray.shutdown()
        raise
    return True


def start(address: str | None, options: dict[str, Any]) -> None:
    """Join a cluster, or start one here; on a busy machine a start may fail, so it is repeated."""
    attempts = 1 if address else 3
    for attempt in range(1, attempts + 1):
        try:
            # With address None Ray would join any cluster that runs on this machine.
            ray.init(address=address or "local", **options)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == attempts:
                where = f"reach the Ray cluster at {address}" if address else "start Ray here"
                raise UserError(f"cannot {where}: {error}") from error


def _require_room(shapes: Sequence[Resources]) -> None:
    """Raise UserError when this machine has no room for one worker of each shape."""
    have = ray.cluster_resources()
    for shape in shapes:
        if (shape.gpus or 0) > have.get("GPU", 0):
            raise UserError(
                f"--gpus-per-worker {shape.gpus:g}: the cluster has {have.get('GPU', 0):g} GPU(s)"
            )
        if shape.cpus > have.get("CPU", 0) or (shape.memory or 0) > have.get("memory", 0):
            raise UserError(
                f"a method's workers need {shape} each, but this machine has "
                f"{have.get('CPU', 0):g} CPU and {have.get('memory', 0) / 2**30:.3g} GiB for them"
            )


def _fit(node: dict[str, float], shape: Resources) -> int:
    """How many workers of a shape an empty node takes; a share of a GPU is on one GPU."""
    counts = []
    if shape.cpus:
        counts.append(node.get("CPU", 0) / shape.cpus)
    if shape.gpus:
        gpus = node.get("GPU", 0)
        counts.append(int(1 / shape.gpus + 1e-9) * gpus if shape.gpus <= 1 else gpus / shape.gpus)
    if shape.memory:
        counts.append(node.get("memory", 0) / shape.memory)
    return int(min(counts, default=node.get("CPU", 0)) + 1e-9)


def _control_address() -> tuple[str, int] | None:
    host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
    return (host.strip("[]"), int(port)) if host and port.isdigit() else None


def _reachable(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=2).close()
    except OSError:
        return False
    return True


def _gone_message(what: str) -> str:
    return (
        f"Ray {what}. Everything finished is kept: start Ray again, then run the same command; it "
        "goes on where this one stopped"
    )
