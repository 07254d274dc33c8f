"""How a loaded network computes: on which device, with which kernels, in which precision."""

import ctypes
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import torch
from torch import nn

from .device import Device, resolve_device
from .fast_layers import replace_slow

Network = TypeVar("Network", bound=nn.Module)
#: float32 is the released systems'; in the others convolutions and products are computed, and
#: results move by more than rounding.
Precision = Literal["float32", "bfloat16", "float16"]
#: On a CPU: PyTorch's own choice; fast ones that change hardly more than the number of threads
#: does; or those with channels last.
Kernels = Literal["loaded", "first", "last"]


@dataclass(frozen=True)
class Execution:
    """The device, the precision, and what may make it faster.

    compiled: `torch.compile` translates the network first. channels_last: lay weights and maps out
    so on a CPU, faster and with other last bits; None is True where that moves none of the
    recorded clicks and scores of the released code.
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
        self, network: Network, calls: Sequence[str] = ("forward",), kernels: Kernels = "last"
    ) -> Network:
        """The network as `ready` makes it.

        calls: names of its methods that predictions use. kernels: where nobody says.
        """
        if self.channels_last or self.precision != "float32":
            kernels = "last"
        elif self.channels_last is False and kernels == "last":
            kernels = "first"
        network = ready(network, self.device, kernels)
        if self.precision != "float32":
            # The fast kernels of low precision want it so on every device.
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        for name in calls if self.compiled else ():
            setattr(network, name, torch.compile(getattr(network, name)))
        return network

    def computing(self) -> AbstractContextManager:
        """Predict inside of this: networks then compute in the precision asked for."""
        if self.precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, getattr(torch, self.precision))

    @property
    def departures(self) -> tuple[str, ...]:
        """What to say of it beside the numbers."""
        if self.precision == "float32":
            return ()
        return (f"the network computes in {self.precision}, the released one in float32",)


def ready(network: Network, device: torch.device, kernels: Kernels = "last") -> Network:
    """The network on its device, in evaluation mode, without gradients of its parameters.

    On a CPU the process keeps the memory that layers free. Unless kernels is "loaded", slow layers
    are replaced (`replace_slow`): on any number of threads they compute, to the bit, what the
    network as loaded computes on several, but for the sums of widely dilated convolutions. "last"
    lays weights and maps out channels last, which changes the last bits of all sums. The network is
    changed in place, the names in its state dict are not.
    """
    network = network.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        keep_memory()
        if kernels == "last":
            # The weights alone: inputs follow from the first convolution on.
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if kernels != "loaded":
            replace_slow(network)
    return network


#: Parameters of glibc's mallopt (malloc.h).
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4
_NEVER = 2**31 - 1


@cache
def keep_memory() -> bool:
    """Have this process keep the memory that it frees; whether it can be told so.

    A network's layers ask for the same large blocks at every prediction. glibc gives such blocks
    back to the kernel each time, which must then empty and map every page anew: up to an eighth
    of a prediction's time on a processor (docs/speed.md). Values are not touched. Where the C
    library is another one, nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
