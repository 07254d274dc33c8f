"""How a loaded network computes: on which device, in which precision and memory layout."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import nn

from .device import Device, resolve_device

Network = TypeVar("Network", bound=nn.Module)
#: float32 is the released systems' precision. In the others convolutions and matrix products are
#: computed in 16 bits, and results differ by more than rounding errors of float32.
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Execution:
    """The device, the precision, and two options that change the speed.

    compiled: `torch.compile` translates the network first. channels_last: on a CPU, store weights
    and feature maps with the channels last, which is often faster and changes the last bits; None
    leaves the choice to the method.
    """

    device: torch.device
    precision: Precision = "float32"
    compiled: bool = False
    channels_last: bool | None = None

    @classmethod
    def of(
        cls, device: Device, precision: Precision, compiled: bool, channels_last: bool | None
    ) -> "Execution":
        """Raises UserError for a device that is not there."""
        return cls(resolve_device(device), precision, compiled, channels_last)

    def ready(
        self, network: Network, calls: Sequence[str] = ("forward",), channels_last: bool = True
    ) -> Network:
        """The network on the device, in evaluation mode, without gradients of its parameters.

        calls: names of its methods that predictions use. channels_last: the method's choice, which
        counts on a CPU where the user made none. The network is changed in place; its state dict
        keeps keys and values.
        """
        network = network.eval().requires_grad_(False).to(self.device)
        if self.channels_last is not None:
            channels_last = self.channels_last
        # In low precision every device has its fastest kernels for this layout.
        if self.precision != "float32" or (channels_last and self.device.type == "cpu"):
            # The weights alone: feature maps get the layout from the first convolution.
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        for name in calls if self.compiled else ():
            setattr(network, name, torch.compile(getattr(network, name)))
        return network

    def computing(self) -> AbstractContextManager:
        """A context in which networks compute in the chosen precision."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    @property
    def departures(self) -> tuple[str, ...]:
        """The footnotes of a row that computes otherwise than the released system."""
        if self.precision == "float32":
            return ()
        return (f"the network computes in {self.precision}, the released one in float32",)
