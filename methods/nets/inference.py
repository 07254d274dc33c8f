"""Getting a trained network ready to predict: fewer operations, the same function."""

from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def ready(network: Network, device: torch.device) -> Network:
    """The network on its device, in evaluation mode, without gradients, as fast as is safe.

    Every batch normalisation that follows a convolution becomes part of it, and on a CPU the
    weights are laid out channels last, which all later layers then keep to. Both change the last
    bits of the results, a few times as much as another number of threads does, and the names of
    the parameters: weights must have been loaded before. The network is changed in place.
    """
    network = network.eval().requires_grad_(False)
    _fold(network)
    if device.type == "cpu":
        # The weights alone: inputs follow from the first convolution on.
        network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return network.to(device)


def _fold(module: nn.Module) -> None:
    children = dict(module.named_children())
    for name, follower in _pairs(module, children):
        convolution, norm = children[name], children[follower]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(module, name, fuse_conv_bn_eval(convolution, norm).requires_grad_(False))
            setattr(module, follower, nn.Identity())
    for child in module.children():
        _fold(child)


def _pairs(module: nn.Module, children: dict[str, nn.Module]) -> list[tuple[str, str]]:
    """Names of children of which the second is applied to what the first gives, and nothing else.

    Those that follow each other in a Sequential; in blocks of residual networks, where every
    `conv2` is followed by `bn2`.
    """
    names = list(children)
    if isinstance(module, nn.Sequential):
        return list(pairwise(names))
    numbered = [name for name in names if name.startswith("conv")]
    return [(name, f"bn{name[4:]}") for name in numbered if f"bn{name[4:]}" in children]
