"""A run directory as a whole: who may write to it, and what may be resumed in it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..files import write_whole
from .differences import AS_IT_WAS, Resume, refuse_unknown, settle
from .manifest import MANIFEST, Accepted, Manifest, now, read_manifest
from .masks import FOLDER as MASKS
from .masks import remove_masks
from .traces import remove_traces

INSTANCES = "instances.parquet"


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Hold a run directory, made if need be, for writing.

    What killed processes left half-written is deleted. Raises UserError when another process holds
    it, or it cannot be made.
    """
    # A link would empty the file that it leads to.
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        lock = os.fdopen(os.open(Path(directory) / ".lock", flags, 0o644), "w")
    except OSError as error:
        raise UserError(f"cannot write to {directory}: {error.strerror or error}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"{directory}: another run is writing here; wait for it or choose another --out"
            ) from None
        _clear_temporary(Path(directory))
        yield


def admit(directory: Path, planned: Manifest, how: Resume = AS_IT_WAS) -> None:
    """Write the manifest of a new run, or check that an existing one may be resumed with this.

    The protocol, what is kept of a trace, isegbench's version and commit, the simulator, and the
    entries of a method or data set of the same name must be equal; methods and data sets may be
    added, and more or fewer instances planned. how: the ways to go on where code or data differ.
    The traces of methods to redo are removed before the manifest says that others ran. Raises
    UserError that shows every difference.
    """
    recorded = refuse_other_run(directory, planned, how)
    if recorded is not None:
        kept = settle(recorded, planned, how)
        accepted = [Accepted(time=now(), differences=kept)] if kept else []
        planned = planned.model_copy(
            update={
                "created": recorded.created,
                "methods": recorded.methods | planned.methods,
                "datasets": recorded.datasets | planned.datasets,
                "invocations": recorded.invocations + planned.invocations,
                "accepted": recorded.accepted + accepted,
            }
        )
        if how.redo:
            remove_traces(directory, how.redo)
            remove_masks(directory, how.redo)
    path = Path(directory) / MANIFEST
    write_whole(path, planned.model_dump_json(indent=2).encode() + b"\n")


def refuse_other_run(
    directory: Path, planned: Manifest, how: Resume = AS_IT_WAS
) -> Manifest | None:
    """The manifest of the run that is to be resumed, None for a new one; nothing is written.

    Raises UserError where `admit` would.
    """
    traces = Path(directory, "traces")
    if traces.exists() and not traces.is_dir():
        raise UserError(f"{traces} is not a folder: move it away, or choose another --out")
    if (Path(directory) / MANIFEST).exists():
        recorded = read_manifest(directory)
        try:
            settle(recorded, planned, how)
        except UserError as error:
            raise UserError(f"{directory} {error}") from None
        return recorded
    if any(traces.glob("*.parquet")):
        raise UserError(f"{directory} holds traces but no {MANIFEST}: choose another --out")
    refuse_unknown(planned, how)
    return None


def _clear_temporary(directory: Path) -> None:
    """Delete what a killed process was writing, while nobody else can write to the directory."""
    for folder in (directory, directory / "traces", directory / MASKS):
        for left in folder.glob(".*.tmp"):
            left.unlink(missing_ok=True)


def record_instances(directory: Path, planned: pd.DataFrame) -> None:
    """Add to DIR/instances.parquet: which instances the run is to score, and their images.

    planned: columns dataset, instance, image.
    """
    path = Path(directory) / INSTANCES
    if path.exists():
        try:
            recorded = pd.read_parquet(path, columns=list(planned))
        except (OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path} is not a list of instances ({error}); delete it, and the same command "
                "writes it again"
            ) from error
        planned = pd.concat([recorded, planned]).drop_duplicates(ignore_index=True)
    write_whole(path, planned.to_parquet(index=False))
