"""What the driver sends to workers besides images: methods, users' own files, weights."""

import fcntl
import hashlib
import os
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle

from ... import registry
from ...downloads import weights
from ...downloads.fetch import sha256_of
from ...errors import DataError, UserError
from ...method import Checkpoint
from ...planning.plan import Job, checkpoints
from ...types import InstanceRef

#: Weights are sent in parts of this size, so that no process holds a large file in memory.
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


class DriverPayloads:
    """The driver's side: every job is put into Ray once, weights when a worker needs them."""

    def __init__(self, jobs: list[Job], grace: float) -> None:
        pickle_own_files_by_value()
        self._weights = [checkpoints(job.method.built) for job in jobs]
        self._shipments = [
            ray.put(_pickled(job, checkpoints, grace))
            for job, checkpoints in zip(jobs, self._weights, strict=True)
        ]
        self._chunks: Chunks = {}

    def arguments(self, job: int) -> tuple[Any, Chunks]:
        """Arguments of `Worker.work`: the job's shipment, and those of its weights that Ray has."""
        sent = {c.sha256: self._chunks.get(c.sha256) for c in self._weights[job]}
        return self._shipments[job], {sha256: refs for sha256, refs in sent.items() if refs}

    def send_weights(self, job: int) -> None:
        """Put the weights of a job's method into Ray."""
        for checkpoint in self._weights[job]:
            if checkpoint.sha256 not in self._chunks:
                self._chunks[checkpoint.sha256] = _parts(checkpoint.path)


def unpack_weights(wanted: tuple[Checkpoint, ...], chunks: Chunks) -> bool:
    """Provide the weights on this node under the names that methods resolve.

    A file of the node is used when its sha256 is the same; else the file is written, once for all
    workers of the node. False when a file is neither on the node nor in `chunks`. Raises
    UserError when it cannot be written.
    """
    for checkpoint in wanted:
        path = weights.at_hand(checkpoint.name)
        if path is None or sha256_of(path) != checkpoint.sha256:
            name = f"{checkpoint.sha256}{checkpoint.path.suffix}"
            path = weights.weights_dir() / "carried" / name
            if not path.is_file():
                if checkpoint.sha256 not in chunks:
                    return False
                _receive(path, checkpoint, chunks[checkpoint.sha256])
        weights.register_worker_copy(replace(checkpoint, path=path))
    return True


def pickle_own_files_by_value() -> None:
    """Pickle what users' own Python files define by value: workers may not have those files.

    This also covers objects inside others: in a jittered simulator, in a partial decoder.
    """
    for module in registry.own_modules():
        cloudpickle.register_pickle_by_value(module)


def with_bytes(ref: InstanceRef) -> InstanceRef:
    """The reference with its files' bytes; unchanged if they cannot be read.

    The worker then raises the same error as the inline executor.
    """
    try:
        return ref.held()
    except DataError:
        return ref


def _pickled(job: Job, weights_used: tuple[Checkpoint, ...], grace: float) -> bytes:
    contents = Shipment(replace(job, refs=()), weights_used, grace)
    return cloudpickle.dumps(contents)  # pyright: ignore[reportPrivateImportUsage]


def _parts(path: Path) -> list[Any]:
    try:
        with open(path, "rb") as file:
            return [ray.put(part) for part in iter(lambda: file.read(_PART_BYTES), b"")]
    except OSError as error:
        raise UserError(f"weights {path} cannot be read: {error.strerror or error}") from error


def _receive(path: Path, checkpoint: Checkpoint, parts: list[Any]) -> None:
    """Write a file from its parts, unless another worker of this node has done so."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_name(f".{path.name}.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if path.is_file():
                return
            digest = hashlib.sha256()
            with open(temporary, "wb") as file:
                for part in parts:
                    data: Any = ray.get(part)
                    digest.update(data)
                    file.write(data)
            if digest.hexdigest() != checkpoint.sha256:
                raise UserError(f"weights {checkpoint.name} have changed since the run began")
            os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
