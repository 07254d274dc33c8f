"""DeepLabV3+ (Chen et al., ECCV 2018) as the click-based methods use it, with their key names."""

import torch
from torch import Tensor, nn

from .gluon_resnet import GluonResNet
from .resize import resize

SKIP_CHANNELS = 32
#: Dilations of the pyramid's 3x3 branches at output stride 8.
RATES = (12, 24, 36)

#: Where `DeepLabV3Plus` can be cut in two: after the backbone, the pyramid, the decoder.
CUTS = ("backbone", "pyramid", "decoder")


class SeparableConv(nn.Module):
    """Depthwise 3x3, then pointwise, norm and ReLU; nothing between the two convolutions."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class PooledBranch(nn.Module):
    """The image-wide mean through a 1x1 convolution, spread over every pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.gap = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return resize(self.gap(x), x.shape[2:])


class Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: five branches side by side, projected to `outputs`."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        branches: list[nn.Module] = [_conv_norm_relu(inputs, outputs, 1)]
        branches += [_conv_norm_relu(inputs, outputs, 3, rate) for rate in RATES]
        branches.append(PooledBranch(inputs, outputs))
        # "concurent" is how the released checkpoints spell it.
        self.concurent = nn.ModuleList(branches)
        self.project = _conv_norm_relu(len(branches) * outputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(torch.cat([branch(x) for branch in self.concurent], dim=1))


class SkipProject(nn.Module):
    """First-stage features reduced to `outputs` channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.skip_project = _conv_norm_relu(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.skip_project(x)


class Decoder(nn.Module):
    """Two separable convolutions and a 1x1 convolution."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            SeparableConv(inputs, channels),
            SeparableConv(channels, channels),
            nn.Conv2d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class LogitHead(nn.Module):
    """Decoder features (B, C, h, w) -> (B, 1, h, w) logits: two separable convolutions, one 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.layers = nn.Sequential(
            SeparableConv(channels, half), SeparableConv(half, half), nn.Conv2d(half, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class DeepLabV3Plus(nn.Module):
    """Dilated ResNet, pyramid and decoder: (B, 3, H, W) -> (B, channels, H/4, W/4) features.

    It runs in two parts, so that a method can change what passes between them: `before(x, cut)`
    returns the features at the cut and those that bypass it; `after` computes the rest.
    """

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.backbone = GluonResNet(depth)
        expansion = self.backbone.expansion
        self.aspp = Pyramid(512 * expansion, channels)
        self.skip_project = SkipProject(64 * expansion, SKIP_CHANNELS)
        self.head = Decoder(channels + SKIP_CHANNELS, channels)

    def cut_channels(self, cut: str) -> int:
        """Channels of the features at one of CUTS."""
        backbone = 512 * self.backbone.expansion
        pyramid = self.channels + SKIP_CHANNELS
        return {"backbone": backbone, "pyramid": pyramid, "decoder": self.channels}[cut]

    def stages(self, x: Tensor, added: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The reduced first-stage features and the last stage's."""
        c1, _, _, c4 = self.backbone(x, added)
        return self.skip_project(c1), c4

    def pooled(self, c4: Tensor, skip: Tensor) -> Tensor:
        """The pyramid's output at the size of the skip features, (B, channels, H/4, W/4)."""
        return resize(self.aspp(c4), skip.shape[2:])

    def before(self, x: Tensor, added: Tensor | None, cut: str) -> tuple[Tensor, Tensor]:
        """(features at the cut, skip features)."""
        skip, c4 = self.stages(x, added)
        if cut == "backbone":
            return c4, skip
        joined = torch.cat([self.pooled(c4, skip), skip], dim=1)
        return (joined if cut == "pyramid" else self.head(joined)), skip

    def after(self, features: Tensor, skip: Tensor, cut: str) -> Tensor:
        """Decoder features from the features at the cut."""
        if cut == "backbone":
            features, cut = torch.cat([self.pooled(features, skip), skip], dim=1), "pyramid"
        return self.head(features) if cut == "pyramid" else features

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        return self.before(x, added, "decoder")[0]


def _conv_norm_relu(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            inputs, outputs, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False
        ),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
