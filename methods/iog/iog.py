"""IOG: an object from a box around it and a point inside it."""

from collections.abc import Sequence
from typing import Any

import torch

from ...harness.errors import UserError
from ...harness.method import Session
from ..nets.iog import IOGNet
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .checkpoint import read_weights
from .inside_outside import Backbone, ClickProtocol, InsideOutside, depth_of

DEPARTURES: dict[Any, tuple[str, ...]] = {
    "image": ("nothing farther than 30 pixels from the box of the corners is object",),
    "released": (
        "points are found in the 512 x 512 crop of the ground truth",
        "the probability map is stretched from its minimum to its maximum and saved in 8 bits",
        "nothing farther than 30 pixels from the object's box is object",
    ),
}


class IOG(InsideOutside):
    """Inside-Outside Guidance: the box of two corners, enlarged by 30 pixels, segmented once.

    weights: a checkpoint's path or its name in `isegbench weights list`. backbone: checked against
    the checkpoint; by default the checkpoint's own, or resnet101 for a released one.
    protocol: `image` takes clicks on image pixels; `released` is the released evaluation, whose
    points lie in the 512 x 512 view and whose mask goes through 8 bits: it needs the simulator
    `iog-released`. threshold: the released evaluation reports 0.1, 0.2, ..., 0.9.
    precision: of the network's computations. compiled: whether torch.compile compiles the network.
    channels_last: whether the network uses this memory layout on a CPU; by default where no
    recorded result changes.
    """

    name = "iog"
    corrections = False

    def __init__(
        self,
        weights: str,
        *,
        backbone: Backbone | None = None,
        protocol: ClickProtocol = "image",
        threshold: float = 0.5,
        device: Device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        self.weights, saved = read_weights(weights, self.name)
        if saved.guidance != "inside-outside":
            raise UserError(
                f"{saved.path} was trained without an inside point: it is the first stage of "
                "iog-box"
            )
        network = saved.network(IOGNet, depth_of(backbone))
        execution = Execution.of(device, precision, compiled, channels_last)
        super().__init__(protocol, threshold, execution, network.side)
        self.departures = DEPARTURES[protocol] + execution.departures
        self.network = execution.ready(network, ["fine"])

    def _logits(self, sessions: Sequence[Session]) -> torch.Tensor:
        return self.network.fine(self._inputs(sessions))
