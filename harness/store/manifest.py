"""The manifest: what a run is, in one JSON file, so that a number can be trusted and resumed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import UserError
from ..method import Checkpoint, Paper

MANIFEST = "manifest.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid")


class WeightsRecord(_Record):
    """The checkpoints a method ran with, as one: another file in any place is another method."""

    name: str
    sha256: str
    trained_on: list[str] = []

    @classmethod
    def of(cls, files: Sequence[Checkpoint]) -> "WeightsRecord":
        """Of one or several: their names and sha256 joined, and all that any was trained on."""
        seen = dict.fromkeys(name for file in files for name in file.trained_on or ())
        return cls(
            name=" + ".join(file.name for file in files),
            sha256="+".join(file.sha256 for file in files),
            trained_on=list(seen),
        )


class Identity(_Record):
    """What a method, data set or simulator is made of: another one is another thing to score.

    name: the qualified name of the class or function. package: the installed package that it is
    from, with its version (isegbench's own is in the manifest once); None for a file of the
    user's. files: sha256 of that file, and of the local modules that it imports, by path from its
    folder. packages: the versions of the installed packages that these import. code: sha256 of
    the compiled class where it has no file, as in a notebook. parameters: what it was built with.
    """

    name: str
    package: str | None = None
    files: dict[str, str] = {}
    packages: dict[str, str] = {}
    code: str | None = None
    parameters: dict[str, Any] = {}


class Content(_Record):
    """What the images and masks of a data set hold, all instances in order, as one sha256.

    compared: what went into it: "sha256" of all bytes, or "size and mtime" of each file, where the
    files are too large to be read.
    """

    compared: str
    files: int
    bytes: int
    fingerprint: str


class MethodEntry(_Record):
    """One method of the run; the key in `Manifest.methods` is its name in the traces."""

    spec: str
    opening: str
    threshold: float
    corrections: bool = True
    sees_truth: bool = False
    paper: Paper | None = None
    departures: list[str] = []
    weights: WeightsRecord | None = None
    identity: Identity | None = None


class DatasetEntry(_Record):
    """One data set of the run; the key in `Manifest.datasets` is its name in the traces.

    instances: how many the data set holds here. fingerprint: sha256 over their names, in order.
    planned: how many this run is to score. subset: how they were chosen, for people. published:
    how many the data set holds as its authors gave it, where that is known.
    """

    spec: str
    instances: int
    fingerprint: str
    planned: int
    subset: str = "all"
    published: int | None = None
    identity: Identity | None = None
    content: Content | None = None


class Protocol(_Record):
    """What must be equal for two numbers to be comparable."""

    simulator: str
    clicks: int
    stop_at: float | None = None
    seed: int = 0
    seeds: int = 1
    time_limit: float | None = None


class Kept(_Record):
    """What a run keeps beyond its clicks and their IoU; equal for all of its traces."""

    boundary_iou: bool = False
    masks: bool = False


class Invocation(_Record):
    """One time the run was started or resumed. data_root: where its data sets were, if given."""

    started: str
    command: str
    executor: dict[str, Any]
    versions: dict[str, str]
    hardware: dict[str, Any]
    commit: str | None = None
    data_root: str | None = None


class Accepted(_Record):
    """What differed when the run was resumed all the same: `--keep`, or nothing was recorded."""

    time: str
    differences: list[str]


class Manifest(_Record):
    """The whole of DIR/manifest.json. An identity that is None is unknown."""

    isegbench: str
    created: str
    protocol: Protocol
    methods: dict[str, MethodEntry]
    datasets: dict[str, DatasetEntry]
    invocations: list[Invocation] = []
    kept: Kept = Kept()
    simulator: Identity | None = None
    accepted: list[Accepted] = []


def now() -> str:
    """The present time, ISO 8601, UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_manifest(directory: Path) -> Manifest:
    """DIR/manifest.json. Raises UserError when it is missing or not a manifest."""
    path = Path(directory) / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{directory} is not a run: it has no {MANIFEST}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path} is not a manifest: {where}: {first['msg']}") from error
