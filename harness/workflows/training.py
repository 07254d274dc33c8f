"""Training: the interface of a trainer, its input, and the TOML file that describes a training.

The harness reads the file, builds the data sets and gives their instances to the trainer that the
file names. The trainer trains its networks and reports each step to a `Watch`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .. import registry
from ..errors import UserError
from ..planning.config import Named, checked, read_toml
from ..planning.plan import Selection, plan_dataset
from ..store import environment
from ..store.manifest import DatasetEntry
from ..types import InstanceRef


class TrainingConfig(BaseModel):
    """The keys of every training file; the model of a trainer adds its own.

    trainer: a name in the registry `trainers`. datasets: one or more to train on, as in a
    benchmark, one after the other. exclude: data sets whose images (by name) are left out, such
    as the data set of the test. distinct_images: leave out the images of a data set that an earlier
    one has too. validate_on: data sets to score during the training. limit: the first N instances
    of each data set to train on. data_root: the folder of the data sets. trained_on: the data sets
    recorded in the weights; by default the names of `datasets`. seed: for the first weights, the
    order and the augmentation. out: the directory, made or resumed.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    trainer: str
    datasets: list[Named] = Field(min_length=1)
    exclude: list[Named] = []
    distinct_images: bool = False
    validate_on: list[Named] = []
    limit: int | None = Field(None, ge=1)
    data_root: Path | None = None
    trained_on: list[str] | None = None
    seed: int = Field(0, ge=0)
    out: Path

    @field_validator("datasets", "exclude", "validate_on", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return list(value) if isinstance(value, (list, tuple)) else [value]


@dataclass(frozen=True)
class Material:
    """The instances to train on, and their data sets for the record.

    trained_on: the data sets to record in the weights. datasets: name -> the entry in the manifest
    of a benchmark.
    """

    refs: Sequence[InstanceRef]
    trained_on: tuple[str, ...]
    datasets: dict[str, DatasetEntry]


class Watch(Protocol):
    """Receives the progress of a training."""

    def start(self, steps: int, done: int) -> None:
        """Called once. steps: of the whole training. done: those made before a resume."""

    def step(self, loss: float) -> None:
        """Called after each step, with its loss."""

    def say(self, text: str) -> None:
        """Called with a line to print."""


class Trainer(ABC):
    """Trains one family of networks. Registered by name in `registry.trainers`.

    Config: the model of its training files.
    """

    Config: ClassVar[type[TrainingConfig]] = TrainingConfig

    @abstractmethod
    def train(self, config: Any, material: Material, watch: Watch) -> Path:
        """Train as `config`, a `Config`, describes; resume the training in `config.out`.

        Returns the file of the best weights. Raises UserError for settings that cannot be used.
        """

    @abstractmethod
    def export(self, config: Any, file: Path) -> None:
        """Write the best weights of the training in `config.out` to `file`, in 16 bits.

        The suffix of the file gives the format. Raises UserError when there are no weights.
        """


def read_training(path: Path, **given: Any) -> tuple[Trainer, TrainingConfig]:
    """The trainer and the configuration that a TOML file describes.

    given: values that replace those of the file. Raises UserError naming file, line and key.
    """
    values, text = read_toml(path)
    values |= given
    name = values.get("trainer")
    if not isinstance(name, str):
        known = ", ".join(registry.trainers.names())
        raise UserError(f'{path}: trainer is missing: write trainer = "..."; known: {known}')
    trainer = registry.trainers.build(name)
    if not isinstance(trainer, Trainer):
        raise UserError(f"{path}: {name} is not a trainer")
    return trainer, checked(trainer.Config, values, str(path), text)


def gather(config: TrainingConfig) -> Material:
    """The instances to train on. Raises UserError when there are none."""
    refs: list[InstanceRef] = []
    names: list[str] = []
    entries: dict[str, DatasetEntry] = {}
    left_out: set[str] = set()
    for named in config.exclude:
        plan = plan_dataset(named, Selection(config.data_root))
        left_out |= {ref.image_name for ref in plan.refs}
    for named in config.datasets:
        plan = plan_dataset(named, Selection(config.data_root, config.limit))
        kept = [ref for ref in plan.refs if ref.image_name not in left_out]
        refs += kept
        names.append(plan.name)
        key = plan.name if plan.name not in entries else f"{plan.name} {plan.entry.subset}"
        entries[key] = plan.entry.model_copy(update={"planned": len(kept)})
        if config.distinct_images:
            left_out |= {ref.image_name for ref in kept}
    if not refs:
        raise UserError("no image is left to train on: exclude has every image of datasets")
    trained_on = dict.fromkeys(names) if config.trained_on is None else config.trained_on
    return Material(refs, tuple(trained_on), entries)


def provenance() -> dict[str, Any]:
    """Package, versions, commit and hardware, for a training's record."""
    return {
        "isegbench": environment.package_version(),
        "commit": environment.commit(),
        "command": environment.command(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
    }
