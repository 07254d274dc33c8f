"""HRNetV2 (Wang et al., TPAMI 2020): four resolutions in parallel, the original's key names."""

from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, conv3x3

from .gluon_resnet import projection
from .resize import resize

#: (modules of stages 2, 3, 4; blocks per branch, and bottlenecks in stage 1).
FULL = ((1, 4, 3), 4)
SMALL = ((1, 3, 2), 2)


def _conv_norm(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(outputs)]


class ParallelModule(nn.Module):
    """Blocks on each resolution, then every resolution summed into every other.

    relu_after_fuse: FCFI's variant leaves out the ReLU that follows the sum.
    """

    def __init__(self, channels: list[int], blocks: int, relu_after_fuse: bool = True) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(width, width) for _ in range(blocks))) for width in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )
        self.relu_after_fuse = relu_after_fuse

    def forward(self, inputs: list[Tensor]) -> list[Tensor]:
        states = [branch(x) for branch, x in zip(self.branches, inputs, strict=True)]
        return [self._fuse(states, target) for target in range(len(states))]

    def _fuse(self, states: list[Tensor], target: int) -> Tensor:
        size = states[target].shape[2:]
        layers = cast(nn.ModuleList, self.fuse_layers[target])
        total = resize(layers[0](states[0]), size)
        for layer, state in zip(layers[1:], states[1:], strict=True):
            total = total + resize(layer(state), size)
        return torch.relu(total) if self.relu_after_fuse else total


def _exchange(channels: list[int], source: int, target: int) -> nn.Module:
    """From one resolution to another: nothing, a 1x1 before enlarging, or strided 3x3s."""
    if source == target:
        return nn.Identity()
    if source > target:
        return nn.Sequential(*_conv_norm(channels[source], channels[target], 1))
    steps: list[nn.Module] = []
    for step in range(target - source):
        last = step == target - source - 1
        width = channels[target] if last else channels[source]
        layers = _conv_norm(channels[source], width, 3, stride=2)
        steps.append(nn.Sequential(*layers, *([] if last else [nn.ReLU(inplace=True)])))
    return nn.Sequential(*steps)


class HRNet(nn.Module):
    """(B, 3, H, W) -> (B, 15 * width, H/4, W/4): all four resolutions at the finest one's size.

    The branches have width, 2, 4 and 8 times width channels. small: the shallower variant.
    """

    def __init__(self, width: int, small: bool = False, relu_after_fuse: bool = True) -> None:
        super().__init__()
        modules, blocks = SMALL if small else FULL
        widths = [width * 2**k for k in range(4)]
        self.feature_channels = sum(widths)
        self.conv1 = conv3x3(3, 64, 2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = conv3x3(64, 64, 2)
        self.bn2 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(
            Bottleneck(64, 64, downsample=projection(64, 256, 1)),
            *(Bottleneck(256, 64) for _ in range(1, blocks)),
        )
        self.transition1 = _transition([256], widths[:2])
        self.stage2 = _stage(widths[:2], modules[0], blocks, relu_after_fuse)
        self.transition2 = _transition(widths[:2], widths[:3])
        self.stage3 = _stage(widths[:3], modules[1], blocks, relu_after_fuse)
        self.transition3 = _transition(widths[:3], widths)
        self.stage4 = _stage(widths, modules[2], blocks, relu_after_fuse)

    def features(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        """added: (B, 64, H/2, W/2) features added after the first convolution, if any."""
        x = self.relu(self.bn1(self.conv1(x)))
        if added is not None:
            x = x + added
        x = self.relu(self.bn2(self.conv2(x)))
        states = [self.layer1(x)]
        for transition, stage in (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        ):
            # A new branch starts from the coarsest one there is.
            existing = len(states)
            sources = [states[min(k, existing - 1)] for k in range(len(transition))]
            states = stage([step(s) for step, s in zip(transition, sources, strict=True)])
        size = states[0].shape[2:]
        return torch.cat([resize(state, size) for state in states], dim=1)


def _stage(widths: list[int], modules: int, blocks: int, relu_after_fuse: bool) -> nn.Sequential:
    return nn.Sequential(*(ParallelModule(widths, blocks, relu_after_fuse) for _ in range(modules)))


def _transition(before: list[int], after: list[int]) -> nn.ModuleList:
    """Branches kept where their width stays, converted where it changes, and one new."""
    steps: list[nn.Module] = []
    for k, width in enumerate(after):
        if k < len(before) and before[k] == width:
            steps.append(nn.Identity())
        elif k < len(before):
            steps.append(nn.Sequential(*_conv_norm(before[k], width, 3), nn.ReLU(inplace=True)))
        else:
            layers = _conv_norm(before[-1], width, 3, stride=2)
            steps.append(nn.Sequential(nn.Sequential(*layers, nn.ReLU(inplace=True))))
    return nn.ModuleList(steps)
