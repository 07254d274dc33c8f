"""ResNet backbones with dilated stages, any number of input channels and either place of stride."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

#: Block type and blocks per stage of each depth (He et al., CVPR 2016, table 1).
_DEPTHS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], list[int]]] = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}

#: Channels of the stem and of layer1..layer4.
BOTTLENECK_CHANNELS = (64, 256, 512, 1024, 2048)
BASIC_CHANNELS = (64, 64, 128, 256, 512)


class DilatedResNet(nn.Module):
    """torchvision's ResNet without its classifier, with the geometry of its stages changed.

    Parameter names are torchvision's (`conv1`, `bn1`, `layer1.0.conv1`, ...).

    depth: 18, 34, 50, 101 or 152. in_channels: of the image and what is stacked on it.
    strides: stage (2, 3, 4) -> stride, where it differs from 2.
    dilations: stage -> dilation of the 3x3 convolutions of its blocks, the last value repeating:
    {4: (2, 4, 8)} is a multi-grid, {3: (2,)} one dilation throughout.
    stride_on: the convolution of a bottleneck that strides, "3x3" as torchvision has it or the
    first "1x1" as Caffe models have it. norm: makes the normalisation of n channels; batch
    normalisation by default.
    """

    def __init__(
        self,
        depth: int,
        *,
        in_channels: int = 3,
        strides: Mapping[int, int] | None = None,
        dilations: Mapping[int, Sequence[int]] | None = None,
        stride_on: Literal["1x1", "3x3"] = "3x3",
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        block, counts = _DEPTHS[depth]
        net = ResNet(block, counts, norm_layer=norm)
        self.channels = BOTTLENECK_CHANNELS if block is Bottleneck else BASIC_CHANNELS
        self.conv1 = nn.Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = net.bn1
        self.relu = net.relu
        self.maxpool = net.maxpool
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            net.layer1,
            net.layer2,
            net.layer3,
            net.layer4,
        )
        for stage, stride in (strides or {}).items():
            _set_stride(self.stage(stage)[0], stride)
        for stage, values in (dilations or {}).items():
            for index, block_ in enumerate(self.stage(stage)):
                _set_dilation(block_, values[min(index, len(values) - 1)])
        if stride_on == "1x1":
            for stage in (2, 3, 4):
                _stride_on_first(self.stage(stage)[0])

    def stage(self, number: int) -> nn.Sequential:
        """layer1 ... layer4."""
        return getattr(self, f"layer{number}")

    def features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The stem after its ReLU (1/2 of the size), then layer1 (1/4), ..., layer4.

        x: (N, in_channels, H, W).
        """
        found = [self.relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(found[0])
        for number in (1, 2, 3, 4):
            x = self.stage(number)(x)
            found.append(x)
        return found

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The output of layer4. x: (N, in_channels, H, W)."""
        return self.features(x)[-1]


def _set_stride(block: nn.Module, stride: int) -> None:
    spatial = block.conv2 if isinstance(block, Bottleneck) else block.conv1
    spatial.stride = (stride, stride)  # type: ignore[assignment]
    if block.downsample is not None:
        block.downsample[0].stride = (stride, stride)  # type: ignore[index]


def _set_dilation(block: nn.Module, dilation: int) -> None:
    spatial = (block.conv2,) if isinstance(block, Bottleneck) else (block.conv1, block.conv2)
    for conv in spatial:
        conv.dilation = conv.padding = (dilation, dilation)  # type: ignore[assignment]


def _stride_on_first(block: nn.Module) -> None:
    if isinstance(block, Bottleneck):
        block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride
