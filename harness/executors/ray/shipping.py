"""What travels from the driver to a worker's node besides images: methods, own files, weights."""

import fcntl
import hashlib
import os
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from ...downloads import weights
from ...downloads.fetch import sha256_of
from ...errors import DataError, UserError
from ...method import Checkpoint
from ...planning.plan import Job, checkpoints
from ...types import InstanceRef

#: Weights travel in parts of this size, so that nobody holds a large file in memory.
_PART_BYTES = 32 * 2**20

#: Files by sha256, each as Ray's references to its parts, in order.
Chunks = dict[str, list[Any]]


@dataclass(frozen=True)
class Shipment:
    """A job without its instances, and what else its worker needs.

    grace: seconds a late call gets before it is killed.
    """

    job: Job
    weights: tuple[Checkpoint, ...]
    grace: float


class Freight:
    """The driver's side: jobs as bytes put into Ray once, weights once somebody asks for them."""

    def __init__(self, jobs: list[Job], grace: float) -> None:
        let_own_files_travel()
        self._weights = [checkpoints(job.method.built) for job in jobs]
        self._shipments = [
            ray.put(_pickled(job, carried, grace))
            for job, carried in zip(jobs, self._weights, strict=True)
        ]
        self._chunks: Chunks = {}

    def of(self, job: int) -> tuple[Any, Chunks]:
        """Arguments of `Worker.work`: the job's shipment, and its weights where they are sent."""
        sent = {c.sha256: self._chunks.get(c.sha256) for c in self._weights[job]}
        return self._shipments[job], {sha256: refs for sha256, refs in sent.items() if refs}

    def send_weights(self, job: int) -> None:
        """Put the weights of a job's method into Ray, as some node has no copy of them."""
        for carried in self._weights[job]:
            if carried.sha256 not in self._chunks:
                self._chunks[carried.sha256] = _parts(carried.path)


def unpack_weights(wanted: tuple[Checkpoint, ...], chunks: Chunks) -> bool:
    """Have the weights on this node, under the names that methods ask for.

    A file the node has already is taken when its bytes are the same; else it is written once for
    all workers of the node. False when one is neither here nor in `chunks`. Raises UserError.
    """
    for carried in wanted:
        path = weights.at_hand(carried.name)
        if path is None or sha256_of(path) != carried.sha256:
            path = weights.weights_dir() / "carried" / f"{carried.sha256}{carried.path.suffix}"
            if not path.is_file():
                if carried.sha256 not in chunks:
                    return False
                _receive(path, carried, chunks[carried.sha256])
        weights.register_worker_copy(replace(carried, path=path))
    return True


def let_own_files_travel() -> None:
    """Let what users' own files define travel whole, wherever it is held: inside a jittered
    simulator, in a partial decoder. Workers may not see those files."""
    for name, module in list(sys.modules.items()):
        if name.startswith("isegbench_user_"):
            cloudpickle.register_pickle_by_value(module)


def held(ref: InstanceRef) -> InstanceRef:
    """With its bytes, or as it is when they cannot be read: the worker will meet the same error."""
    try:
        return ref.held()
    except DataError:
        return ref


def _pickled(job: Job, carried: tuple[Checkpoint, ...], grace: float) -> bytes:
    contents = Shipment(replace(job, refs=()), carried, grace)
    return cloudpickle.dumps(contents)  # pyright: ignore[reportPrivateImportUsage]


def _parts(path: Path) -> list[Any]:
    try:
        with open(path, "rb") as file:
            return [ray.put(part) for part in iter(lambda: file.read(_PART_BYTES), b"")]
    except OSError as error:
        raise UserError(f"weights {path} cannot be read: {error.strerror or error}") from error


def _receive(path: Path, carried: Checkpoint, parts: list[Any]) -> None:
    """Write a file from its parts, unless another worker of this node does so first."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_name(f".{path.name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.is_file():
                return
            digest = hashlib.sha256()
            with open(temporary, "wb") as file:
                for part in parts:
                    data: Any = ray.get(part)
                    digest.update(data)
                    file.write(data)
            if digest.hexdigest() != carried.sha256:
                raise UserError(f"weights {carried.name} have changed since the run began")
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
