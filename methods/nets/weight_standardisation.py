"""Convolutions whose kernels are standardised before use (Qiao et al., Weight Standardization)."""

import torch
from torch import nn


class StandardisedConv2d(nn.Conv2d):
    """A convolution with every output channel's kernel at mean 0 and standard deviation 1.

    The deviation is sqrt(var + 1e-12) + 1e-5 with the unbiased variance, as Forte et al. (2020)
    released it.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        # One axis after the other: the order decides the last bit.
        weight = self.weight - self.weight.mean(1, True).mean(2, True).mean(3, True)
        variance = weight.flatten(1).var(dim=1, unbiased=True) + 1e-12
        weight = weight / (variance.sqrt().view(-1, 1, 1, 1) + 1e-5)
        return self._conv_forward(input, weight, self.bias)


def standardise(module: nn.Module) -> None:
    """Make every convolution inside `module` a standardised one; parameters keep their names."""
    for name, child in module.named_children():
        if type(child) is nn.Conv2d:
            setattr(module, name, _standardised(child))
        else:
            standardise(child)


def _standardised(conv: nn.Conv2d) -> StandardisedConv2d:
    new = StandardisedConv2d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,  # type: ignore[arg-type]
        stride=conv.stride,  # type: ignore[arg-type]
        padding=conv.padding,  # type: ignore[arg-type]
        dilation=conv.dilation,  # type: ignore[arg-type]
        groups=conv.groups,
        bias=conv.bias is not None,
    )
    new.weight, new.bias = conv.weight, conv.bias
    return new
