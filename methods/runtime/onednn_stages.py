"""Residual stages in the layout that oneDNN computes in, with the bits of PyTorch's own.

On a CPU PyTorch hands a convolution to oneDNN, which copies the features into blocks of channels,
computes, and copies them back; so it does for every layer. Here features stay in blocks from the
first convolution of a stage to its last.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.resnet import BasicBlock, Bottleneck

from ..nets.gluon_resnet import DilatedBasicBlock
from .fast_layers import Pointwise, runs_plainly

#: Their forward passes do nothing with features but convolve, normalise, rectify and add them.
_BLOCKS = (BasicBlock, Bottleneck, DilatedBasicBlock)
_LAYERS = (nn.Conv2d, Pointwise, nn.ReLU)
#: Features on which a stage is tried: two maps, because PyTorch keeps a very small one to itself.
_TRIAL = (2, 10, 14)


def keep_in_blocks(network: nn.Module) -> None:
    """Have the residual stages of a network in evaluation mode keep their features in blocks.

    That is so on a CPU, in float32 and without gradients; otherwise they run as they are, and
    always where a trial shows that another bit would come out. The weights are packed once, which
    takes as much memory again as those of the stages; later changes of them are not seen.
    """
    if not torch.backends.mkldnn.is_available():
        return
    for module in network.modules():
        if isinstance(module, nn.Sequential) and _is_stage(module):
            _keep(module)


def _is_stage(module: nn.Sequential) -> bool:
    leaves = [leaf for leaf in module.modules() if not any(leaf.children())]
    known = all(type(leaf) in _LAYERS or _is_norm(leaf) for leaf in leaves)
    return len(module) > 0 and all(isinstance(block, _BLOCKS) for block in module) and known


def _is_norm(module: nn.Module) -> bool:
    return type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats


def _keep(stage: nn.Sequential) -> None:
    shared = {id(value): value for value in stage.state_dict(keep_vars=True).values()}
    twin = _packed(copy.deepcopy(stage, shared))
    first = next(module for module in stage.modules() if isinstance(module, nn.Conv2d))
    generator = torch.Generator().manual_seed(0)
    count, *size = _TRIAL
    trial = torch.randn(count, first.in_channels, *size, generator=generator)
    with torch.no_grad():
        same = torch.equal(twin(trial.to_mkldnn()).to_dense(), stage(trial))
    if same:
        stage.forward = _InBlocks(stage, twin)


class _InBlocks:
    """A stage's forward pass, by its twin where that may be."""

    def __init__(self, stage: nn.Sequential, twin: nn.Module) -> None:
        self._as_it_is, self._twin = stage.forward, twin

    def __call__(self, input: Tensor) -> Tensor:
        if torch.is_grad_enabled() or not runs_plainly(input):
            return self._as_it_is(input)
        return self._twin(input.to_mkldnn()).to_dense()


def _packed(module: nn.Module) -> nn.Module:
    """The module with its convolutions and normalisations replaced by packed ones."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d):
            setattr(module, name, _Convolution(child))
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _Normalisation(child))
        else:
            _packed(child)
    return module


class _Convolution(nn.Module):
    """A convolution with packed weights, of features in blocks."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self._geometry: Any = conv.padding, conv.stride, conv.dilation, conv.groups
        self._weight = _pack(conv.weight, *self._geometry)
        self._bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return torch.mkldnn_convolution(x, self._weight, self._bias, *self._geometry)


class _Normalisation(nn.Module):
    """Batch normalisation of features in blocks, computed as x * scale + shift in one rounding.

    So does PyTorch, and so does a convolution of single pixels and channels with a bias; oneDNN's
    own normalisation rounds twice. Scale and shift are what PyTorch's gives for 1 and for 0.
    """

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        count, var = norm.num_features, norm.running_var
        zeros, ones = torch.zeros(1, count, 1, 1), torch.ones(1, count, 1, 1)
        nothing = torch.zeros(count)
        scale: Any = functional.batch_norm(
            ones, nothing, var, norm.weight, nothing, False, 0.0, norm.eps
        )
        self._geometry = (0, 0), (1, 1), (1, 1), count
        self._scale = _pack(scale.view(count, 1, 1, 1), *self._geometry)
        self._shift = norm(zeros).flatten()

    def forward(self, x: Tensor) -> Tensor:
        return torch.mkldnn_convolution(x, self._scale, self._shift, *self._geometry)


def _pack(weight: Tensor, *geometry: Any) -> Tensor:
    with torch.no_grad():
        return torch.ops.aten.mkldnn_reorder_conv2d_weight(weight.detach().to_mkldnn(), *geometry)
