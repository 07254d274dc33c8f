"""ResNets that keep a fine stride by dilation, with the key names of the Gluon v1b/v1s models.

Lin et al.'s GluonCV models differ from torchvision's in the stem of the deeper ones (three 3x3
convolutions) and in that the basic block can be dilated; the bottleneck is torchvision's own.
"""

from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, conv3x3

#: Blocks per stage; 50 and deeper use bottlenecks and the deep stem.
DEPTHS = {34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


class DilatedBasicBlock(nn.Module):
    """Two 3x3 convolutions; `dilation` is the first one's, `stage_dilation` the second one's."""

    expansion = 1

    def __init__(
        self,
        inputs: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        dilation: int = 1,
        stage_dilation: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, planes, stride, dilation=dilation)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes, dilation=stage_dilation)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + identity)


def projection(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """The shortcut of a block that changes shape: a strided 1x1 convolution and its norm."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
    )


class GluonResNet(nn.Module):
    """ResNet-34, -50, -101 or -152 with output stride 8: layer3 dilated by 2, layer4 by 4.

    (B, 3, H, W) -> the outputs of the four stages, the first at stride 4, the others at 8.
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        deep = depth >= 50
        self.expansion = 4 if deep else 1
        self.stem_channels = 128 if deep else 64
        self.conv1 = _deep_stem() if deep else nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.stem_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        counts = DEPTHS[depth]
        self.layer1 = self._stage(self.stem_channels, 64, counts[0])
        self.layer2 = self._stage(64 * self.expansion, 128, counts[1], stride=2)
        self.layer3 = self._stage(128 * self.expansion, 256, counts[2], dilation=2)
        self.layer4 = self._stage(256 * self.expansion, 512, counts[3], dilation=4)

    def forward(self, x: Tensor, added: Tensor | None = None) -> tuple[Tensor, ...]:
        """added: (B, C, H/2, W/2) features added to the stem's first C channels, if any."""
        x = self.relu(self.bn1(self.conv1(x)))
        if added is not None:
            missing = self.stem_channels - added.shape[1]
            x = x + nn.functional.pad(added, (0, 0, 0, 0, 0, missing))
        c1 = self.layer1(self.maxpool(x))
        c2 = self.layer2(c1)
        c3 = self.layer3(c2)
        return c1, c2, c3, self.layer4(c3)

    def _stage(
        self, inputs: int, planes: int, count: int, stride: int = 1, dilation: int = 1
    ) -> nn.Sequential:
        # Halving the first dilation spares the gap left by the stride that is not taken.
        first, outputs = max(1, dilation // 2), planes * self.expansion
        changes = stride != 1 or inputs != outputs
        shortcut = projection(inputs, outputs, stride) if changes else None
        blocks = [self._block(inputs, planes, first, dilation, stride, shortcut)]
        blocks += [self._block(outputs, planes, dilation, dilation) for _ in range(1, count)]
        return nn.Sequential(*blocks)

    def _block(
        self,
        inputs: int,
        planes: int,
        dilation: int,
        stage_dilation: int,
        stride: int = 1,
        shortcut: nn.Module | None = None,
    ) -> nn.Module:
        if self.expansion == 1:
            return DilatedBasicBlock(inputs, planes, stride, shortcut, dilation, stage_dilation)
        return Bottleneck(inputs, planes, stride, shortcut, dilation=dilation)


def _deep_stem() -> nn.Sequential:
    return nn.Sequential(
        conv3x3(3, 64, 2),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        conv3x3(64, 64),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        conv3x3(64, 128),
    )
