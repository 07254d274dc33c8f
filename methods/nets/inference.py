"""How a loaded network computes: on which device, with which kernels, in which precision."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..device import Device, resolve_device
from .memory import keep_memory

Network = TypeVar("Network", bound=nn.Module)
#: float32 is the released systems'; in the others convolutions and products are computed, and
#: results move by more than rounding.
Precision = Literal["float32", "bfloat16", "float16"]
#: On a CPU: PyTorch's own choice, the fast ones that change nothing but what the number of threads
#: changes, or those with channels last.
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
        if self.channels_last:
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

    On a CPU the process keeps the memory that layers free. Unless kernels is "loaded", 1x1
    convolutions go through `pointwise` and maxima are taken over channels-last maps: on several
    threads to the bit what the network as loaded computes, on one thread what it computes on
    several. "last" lays weights and maps out channels last, which changes the last bits of sums a
    little more than another number of threads does. The network is changed in place, the names in
    its state dict are not.
    """
    network = network.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        keep_memory()
        if kernels == "last":
            # The weights alone: inputs follow from the first convolution on.
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        if kernels != "loaded":
            _replace_slow(network)
    return network


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """A 1x1 convolution. (N, C, h, w), (D, C, 1, 1), (D,) -> (N, D, h / stride, w / stride).

    On one thread PyTorch leaves float32 1x1 convolutions to a general matrix product, which takes
    up to twice as long as oneDNN's convolution does with channels last (docs/speed.md); this asks
    for oneDNN's wherever it is to be had.
    """
    plain = x.dtype == weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
    here = x.device.type == "cpu" and torch.backends.mkldnn.is_available()
    if plain and here and not torch.compiler.is_compiling():
        return _Product.apply(x, weight, bias, stride)
    return functional.conv2d(x, weight, bias, stride)


class _Product(torch.autograd.Function):
    """oneDNN's 1x1 convolution, whose gradient with respect to x is one too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.biased = stride, bias is not None
        return torch.mkldnn_convolution(x, weight, bias, (0, 0), (stride, stride), (1, 1), 1)

    @staticmethod
    def backward(ctx: Any, *pulls: Tensor) -> tuple[Tensor | None, ...]:
        (pull,) = pulls
        x, weight = ctx.saved_tensors
        wanted = list(ctx.needs_input_grad[:3])
        found: list[Tensor | None] = [None, None, None]
        if wanted[0] and ctx.stride == 1:
            wanted[0] = False
            turned = weight.transpose(0, 1).contiguous()
            found[0] = torch.mkldnn_convolution(pull, turned, None, (0, 0), (1, 1), (1, 1), 1)
        if any(wanted):
            sizes = [len(weight)] if ctx.biased else None
            geometry = ([ctx.stride] * 2, [0, 0], [1, 1], False, [0, 0], 1, wanted)
            others = torch.ops.aten.convolution_backward(pull, x, weight, sizes, *geometry)
            parts = zip(found, others, wanted, strict=True)
            found = [other if want else one for one, other, want in parts]
        return (*found, None)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution that computes with `pointwise`; shares another's parameters."""

    def __init__(self, conv: nn.Conv2d) -> None:
        counts = conv.in_channels, conv.out_channels
        biased = conv.bias is not None
        super().__init__(*counts, 1, conv.stride[0], bias=biased, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias, self.stride[0])


class _MaxPool(nn.MaxPool2d):
    """Maxima of channels-last maps, which are found much faster; the layout is given back."""

    def forward(self, input: Tensor) -> Any:
        last = input.contiguous(memory_format=torch.channels_last)
        found: Any = super().forward(last)
        return found if last is input or self.return_indices else found.contiguous()


def _replace_slow(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and _is_pointwise(child):
            setattr(module, name, _Pointwise(child))
        elif type(child) is nn.MaxPool2d:
            pool = (child.kernel_size, child.stride, child.padding, child.dilation)
            setattr(module, name, _MaxPool(*pool, child.return_indices, child.ceil_mode))
        else:
            _replace_slow(child)


def _is_pointwise(conv: nn.Conv2d) -> bool:
    down, across = conv.stride
    return (
        conv.kernel_size == (1, 1) and conv.groups == 1 and not conv.padding[0] and down == across
    )  # type: ignore[operator]
