"""A run directory as a whole: who may write to it, and what may be resumed in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from ..errors import UserError
from ..files import write_whole
from .manifest import MANIFEST, Manifest, read_manifest

INSTANCES = "instances.parquet"


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold a run directory, made if need be, for writing.

    Raises UserError when another process holds it, or it cannot be made.
    """
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        # A link's target is neither emptied nor locked.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
        lock = os.fdopen(os.open(Path(directory) / ".lock", flags, 0o644), "r+b")
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{directory}: another run is writing here; wait for it or choose another --out"
            ) from None
        yield


def admit(directory: Path, planned: Manifest) -> None:
    """Write the manifest of a new run, or check that an existing one may be resumed with this.

    The protocol, the package's version, what is kept of a trace, and the entries of a method or
    data set of the same name must be equal; methods and data sets may be added, and more or
    fewer instances planned. Raises UserError that shows every difference.
    """
    recorded = refuse_other_run(directory, planned)
    if recorded is not None:
        planned = planned.model_copy(
            update={
                "created": recorded.created,
                "methods": recorded.methods | planned.methods,
                "datasets": recorded.datasets | planned.datasets,
                "invocations": recorded.invocations + planned.invocations,
            }
        )
    path = Path(directory) / MANIFEST
    write_whole(path, planned.model_dump_json(indent=2).encode() + b"\n")


def refuse_other_run(directory: Path, planned: Manifest) -> Manifest | None:
    """The manifest of the run that is to be resumed, None for a new one; nothing is written.

    Raises UserError where `admit` would.
    """
    if (Path(directory) / MANIFEST).exists():
        recorded = read_manifest(directory)
        found = differences(recorded, planned)
        if found:
            raise UserError(
                f"{directory} was made with other settings; resume it with the same ones or "
                "choose another --out:\n" + "\n".join(f"  {line}" for line in found)
            )
        return recorded
    if any(Path(directory, "traces").glob("*.parquet")):
        raise UserError(f"{directory} holds traces but no {MANIFEST}: choose another --out")
    return None


def differences(recorded: Manifest, planned: Manifest) -> list[str]:
    """What keeps `planned` from resuming `recorded`, a line each."""
    pairs: list[tuple[str, Any, Any]] = [
        ("isegbench version", recorded.isegbench, planned.isegbench),
    ]
    pairs += _fields("", recorded.protocol, planned.protocol)
    pairs += _fields("kept: ", recorded.kept, planned.kept)
    for name in recorded.methods.keys() & planned.methods.keys():
        pairs += _fields(f"method {name}: ", recorded.methods[name], planned.methods[name])
    for name in recorded.datasets.keys() & planned.datasets.keys():
        one, other = recorded.datasets[name], planned.datasets[name]
        pairs += [
            (f"dataset {name}: instances", one.instances, other.instances),
            (f"dataset {name}: fingerprint of names", one.fingerprint, other.fingerprint),
        ]
    return [f"{what}: {was} in the run, now {is_}" for what, was, is_ in pairs if was != is_]


def _fields(prefix: str, one: Any, other: Any) -> list[tuple[str, Any, Any]]:
    return [
        (prefix + name, getattr(one, name), getattr(other, name)) for name in type(one).model_fields
    ]


def record_instances(directory: Path, planned: pd.DataFrame) -> None:
    """Add to DIR/instances.parquet: which instances the run is to score, and their images.

    planned: columns dataset, instance, image.
    """
    path = Path(directory) / INSTANCES
    if path.exists():
        planned = pd.concat([pd.read_parquet(path), planned]).drop_duplicates(ignore_index=True)
    write_whole(path, planned.to_parquet(index=False))
