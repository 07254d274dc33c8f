"""The keys of a training file for IOG."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ....harness.workflows.training import TrainingConfig
from ...runtime.device import Device
from .augmentation import Augmentation
from .schedule import Optimizer, Schedule

NetworkName = Literal["iog", "iog-refine", "outside"]
Precision = Literal["float32", "float16", "bfloat16"]

#: Objects a step, as released.
_BATCH = {"iog": 5, "iog-refine": 2, "outside": 5}


class IOGTraining(TrainingConfig):
    """The keys of a training of IOG; every default is the released value.

    network: the three-point network `iog`, the refinement network `iog-refine`, or `outside`,
    whose input has the box's corners but no inside point. backbone: resnet18, 34, 50 or 101.
    heads: channels of the heads. side: of the crop, in pixels. init: the backbone's first weights:
    imagenet (torchvision's), scratch, or a checkpoint of the same network.

    epochs, batch: batch is the whole batch, over all devices. flip, rotation, scale: of the
    augmentation: a probability, degrees, and smallest and largest. lr: the backbone's rate;
    head_factor: the ratio of the other layers' rate to it. The loss is summed over pixels, so
    the released rates are for side 512: multiply by (512 / side)^2 with optimizer = "sgd"; "adamw"
    does not depend on it. schedule: constant, poly or cosine, after `warmup` steps of linear rise.

    precision: float32, or mixed with float16 (GPU) or bfloat16. device: auto, cpu, cuda; devices:
    how many; more than one run through Ray Train, on the cluster at ray_address or this machine.
    threads: of torch on a CPU; 0 leaves torch's choice. loaders: processes that prepare samples;
    0 prepares them in this process. cache: keep decoded images and masks in memory.

    snapshot_every, validate_every: epochs between two. save_seconds: between two checkpoints to
    resume from. half: write weights in 16 bits.
    """

    network: NetworkName = "iog"
    backbone: Literal["resnet18", "resnet34", "resnet50", "resnet101"] = "resnet101"
    heads: int = Field(256, ge=8, multiple_of=4)
    side: int = Field(512, ge=32, multiple_of=16)
    init: str = "imagenet"

    epochs: int = Field(100, ge=1)
    batch: int = Field(5, ge=2)
    flip: float = Field(0.5, ge=0, le=1)
    rotation: float = Field(20, ge=0, le=180)
    scale: tuple[float, float] = (0.75, 1.25)

    optimizer: Optimizer = "sgd"
    lr: float = Field(1e-8, gt=0)
    head_factor: float = Field(10, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    schedule: Schedule = "constant"
    warmup: int = Field(0, ge=0)

    precision: Precision = "float32"
    device: Device = "auto"
    devices: int = Field(1, ge=1)
    ray_address: str | None = None
    threads: int = Field(0, ge=0)
    loaders: int = Field(0, ge=0)
    cache: bool = False

    snapshot_every: int = Field(10, ge=1)
    validate_every: int = Field(10, ge=1)
    save_seconds: float = Field(300, ge=0)
    half: bool = False

    @model_validator(mode="before")
    @classmethod
    def _released_batch(cls, values: Any) -> Any:
        if isinstance(values, dict) and "batch" not in values:
            return {**values, "batch": _BATCH.get(values.get("network", "iog"), 5)}
        return values

    @field_validator("scale")
    @classmethod
    def _in_order(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not 0 < value[0] <= value[1]:
            raise ValueError("must be two positive numbers, the smaller one first")
        return value

    @field_validator("devices")
    @classmethod
    def _divides(cls, value: int, info: Any) -> int:
        batch = info.data.get("batch")
        if batch is not None and (batch % value or batch // value < 2):
            raise ValueError(f"each device needs an equal share, at least 2, of batch = {batch}")
        return value

    @property
    def depth(self) -> int:
        """Of the backbone."""
        return int(self.backbone.removeprefix("resnet"))

    @property
    def augmentation(self) -> Augmentation:
        return Augmentation(self.flip, self.rotation, self.scale)
