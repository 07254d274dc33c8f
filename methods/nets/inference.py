"""Getting a loaded network ready to predict: the same operations, on the kernels that are fast."""

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

Network = TypeVar("Network", bound=nn.Module)


def ready(network: Network, device: torch.device, *, channels_last: bool = True) -> Network:
    """The network on its device, in evaluation mode, without gradients of its parameters.

    On a CPU its 1x1 convolutions go through `pointwise`. channels_last: on a CPU its weights are
    laid out so, and every layer keeps to it. The operations and their order stay those of the
    network as loaded; only the last bits of sums change, as with another number of threads, by a
    little more with channels last. The network is changed in place, the names in its state dict
    are not.
    """
    network = network.eval().requires_grad_(False).to(device)
    if device.type == "cpu":
        if channels_last:
            # The weights alone: inputs follow from the first convolution on.
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        _replace_pointwise(network)
    return network


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """A 1x1 convolution. (N, C, h, w), (D, C, 1, 1), (D,) -> (N, D, h / stride, w / stride).

    On one thread PyTorch leaves float32 1x1 convolutions to a general matrix product, which takes
    up to twice as long as oneDNN's convolution does with channels last (docs/speed.md); this asks
    for oneDNN's wherever it is to be had.
    """
    here = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
    if here and torch.backends.mkldnn.is_available():
        return torch.mkldnn_convolution(x, weight, bias, (0, 0), (stride, stride), (1, 1), 1)
    return functional.conv2d(x, weight, bias, stride)


class _Pointwise(nn.Conv2d):
    """A 1x1 convolution that computes with `pointwise`; shares another's parameters."""

    def __init__(self, conv: nn.Conv2d) -> None:
        counts = conv.in_channels, conv.out_channels
        biased = conv.bias is not None
        super().__init__(*counts, 1, conv.stride[0], bias=biased, device="meta")  # type: ignore[arg-type]
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias, self.stride[0])


def _replace_pointwise(module: nn.Module) -> None:
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and _is_pointwise(child):
            setattr(module, name, _Pointwise(child))
        else:
            _replace_pointwise(child)


def _is_pointwise(conv: nn.Conv2d) -> bool:
    down, across = conv.stride
    return (
        conv.kernel_size == (1, 1) and conv.groups == 1 and not conv.padding[0] and down == across
    )  # type: ignore[operator]
