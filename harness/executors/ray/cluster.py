"""Joining or starting Ray, what there is in it, and noticing that it has gone."""

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import ray

from ...errors import UserError
from ...planning.resources import Resources

#: For how long Ray's control service may be out of reach before the run gives up.
_PATIENCE_SECONDS = 20.0
#: How often it is asked whether it is there.
_CHECK_SECONDS = 2.0
#: How often the cluster is asked what it has.
_LOOK_SECONDS = 5.0


class Cluster:
    """Ray, joined or started here; a context manager that leaves it as it was found.

    address: of a running cluster, else this machine. shapes: what workers will occupy, largest
    number of them: `workers`. runtime_env: as `ray.init` takes it. Raises UserError when Ray
    cannot be reached or started, or when it was started here and has no room for a worker.
    """

    def __init__(
        self,
        address: str | None,
        workers: int | None,
        shapes: Sequence[Resources],
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        self._ours = connect(address, workers, shapes, runtime_env)
        self._control = _control_address()
        self._checked = self._answered = time.monotonic()
        self._looked = -_LOOK_SECONDS
        self._nodes: list[dict[str, Any]] = []

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            ray.shutdown()

    def check(self) -> None:
        """Raises UserError when Ray has been out of reach for a while, or is stopped.

        To be called often: Ray itself would end this process after a minute without an answer,
        although workers still do their work.
        """
        if not ray.is_initialized():
            raise UserError(_gone("was stopped in this process"))
        if time.monotonic() - self._checked < _CHECK_SECONDS:
            return
        self._checked = time.monotonic()
        if self._control is None or _reachable(self._control):
            self._answered = time.monotonic()
        elif time.monotonic() - self._answered > _PATIENCE_SECONDS:
            host, port = self._control
            raise UserError(_gone(f"at {host}:{port} does not answer any more"))

    def room(self, shape: Resources, taken: Sequence[tuple[Resources, int]]) -> int:
        """How many workers of a shape fit, as the cluster is now, beside those `taken`."""
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
        """Memory of Ray's object store on the smallest node."""
        sizes = [node.get("object_store_memory", 0) for node in self._current()]
        return min((size for size in sizes if size), default=2**30)

    def lost(self, node: str) -> bool:
        """Whether a node has left the cluster."""
        return any(n["NodeID"] == node and not n["Alive"] for n in ray.nodes())

    def _current(self) -> list[dict[str, Any]]:
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            self._nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes


def connect(
    address: str | None,
    workers: int | None,
    shapes: Sequence[Resources],
    runtime_env: dict[str, Any] | None = None,
) -> bool:
    """Join or start Ray; True when it was joined or started here and is ours to leave."""
    if ray.is_initialized():
        if runtime_env:
            raise UserError(
                "Ray is in use in this process already: give its runtime environment to ray.init"
            )
        return False
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray would run its workers at the lowest priority, behind whatever else the machine does.
    os.environ.setdefault("RAY_worker_niceness", "0")
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if runtime_env:
        options["runtime_env"] = runtime_env
    if address is None:
        asked = (workers or 0) * max((shape.cpus for shape in shapes), default=1)
        cores = max(int(asked), os.cpu_count() or 1)
        options |= {"include_dashboard": False, "num_cpus": cores}
    start(address, options)
    try:
        if address is None:
            _refuse_what_never_fits(shapes)
    except UserError:
        ray.shutdown()
        raise
    return True


def start(address: str | None, options: dict[str, Any]) -> None:
    """Join a cluster, or start one here: tried again, as Ray gives a busy machine little time."""
    attempts = 1 if address else 3
    for attempt in range(1, attempts + 1):
        try:
            # Without an address Ray would join any cluster it finds on this machine.
            ray.init(address=address or "local", **options)
            return
        except Exception as error:
            ray.shutdown()
            if attempt == attempts:
                where = f"reach the Ray cluster at {address}" if address else "start Ray here"
                raise UserError(f"cannot {where}: {error}") from error


def _refuse_what_never_fits(shapes: Sequence[Resources]) -> None:
    """A cluster may grow; this machine does not."""
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
    """How many workers of a shape an empty node takes; a share of a GPU never spans two."""
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


def _gone(what: str) -> str:
    return (
        f"Ray {what}. Everything finished is kept: start Ray again, then the same command, which "
        "goes on where this one stopped"
    )
