"""Layers that compute what PyTorch's do, with faster kernels of its own on a CPU."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Kernels dilated so far reach beyond the border from most places.
_WIDE = 12


def replace_slow(module: nn.Module) -> None:
    """Replace layers inside a module, in place, by faster ones with the same parameters.

    1x1 convolutions go through `pointwise`; maxima are taken, and widely dilated convolutions
    computed, over channels-last maps.
    """
    for name, child in module.named_children():
        if type(child) is nn.Conv2d and _is_pointwise(child):
            setattr(module, name, Pointwise(child))
        elif type(child) is nn.Conv2d and min(child.dilation) >= _WIDE:
            setattr(module, name, _Wide(child))
        elif type(child) is nn.MaxPool2d and not child.return_indices:
            pool = (child.kernel_size, child.stride, child.padding, child.dilation)
            setattr(module, name, _MaxPool(*pool, ceil_mode=child.ceil_mode))
        else:
            replace_slow(child)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    """A 1x1 convolution. (N, C, h, w), (D, C, 1, 1), (D,) -> (N, D, h / stride, w / stride).

    On one thread PyTorch leaves float32 1x1 convolutions to a general matrix product, which takes
    up to twice as long as oneDNN's convolution does with channels last (docs/speed.md); this asks
    for oneDNN's wherever it is to be had.
    """
    if x.dtype == weight.dtype and torch.backends.mkldnn.is_available() and runs_plainly(x):
        return _Product.apply(x, weight, bias, stride)
    return functional.conv2d(x, weight, bias, stride)


def runs_plainly(x: Tensor) -> bool:
    """Whether a layer given x computes in float32 on a CPU, neither autocast nor compiled."""
    plain = x.dtype == torch.float32 and x.device.type == "cpu"
    return plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


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


class _Same(nn.Conv2d):
    """A convolution that is another one, parameters and all, computed otherwise."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.__dict__.update(conv.__dict__)


class Pointwise(_Same):
    """A 1x1 convolution that computes with `pointwise`."""

    def forward(self, input: Tensor) -> Tensor:
        return pointwise(input, self.weight, self.bias, self.stride[0])


class _Wide(_Same):
    """A convolution of channels-last maps; the layout is given back.

    oneDNN's kernel for that layout leaves out what lies beyond the border, which is most of a
    widely dilated kernel; the sums come in another order (docs/speed.md).
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.to(memory_format=torch.channels_last))  # pyright: ignore[reportCallIssue]

    def forward(self, input: Tensor) -> Tensor:
        return _over_channels_last(super().forward, input)


class _MaxPool(nn.MaxPool2d):
    """Maxima of channels-last maps, which are found much faster; the layout is given back."""

    def forward(self, input: Tensor) -> Tensor:
        return _over_channels_last(super().forward, input)


def _over_channels_last(layer: Callable[[Tensor], Any], x: Tensor) -> Tensor:
    """What a layer gives for x, computed channels last, in the layout of x."""
    last = x.contiguous(memory_format=torch.channels_last)
    found = layer(last)
    return found if last is x else found.contiguous()


def _is_pointwise(conv: nn.Conv2d) -> bool:
    down, across = conv.stride
    return (
        conv.kernel_size == (1, 1) and conv.groups == 1 and not conv.padding[0] and down == across
    )  # type: ignore[operator]
