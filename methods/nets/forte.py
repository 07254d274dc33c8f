"""Forte et al.'s network: GroupNorm ResNet-50, click encoder, decoder and guided filter."""

import torch
from torch import nn
from torch.nn import functional

from .dilated_resnet import DilatedResNet
from .guided_filter import guided_filter
from .weight_standardisation import StandardisedConv2d, standardise

_FILTER_RADIUS = 2
_FILTER_EPS = 1e-8


class ForteNet(nn.Module):
    """Image, click maps and previous mask to an opacity map of the same size.

    Forte et al., Getting to 99% Accuracy in Interactive Segmentation (2020), with its click
    encoder and previous-mask input. H and W must be multiples of 32. Inputs, all float32:

    image: (N, 3, H, W), normalised with ImageNet's mean and deviation.
    maps: (N, 6, H, W), three scales of background, then of foreground clicks.
    previous: (N, 1, H, W), the last opacity.
    clicked: (N, 2, H, W), 1 where a background (0) or foreground (1) click lies.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = DilatedResNet(
            50,
            in_channels=9,
            strides={3: 1, 4: 1},
            # The block that used to stride keeps the dilation of the stage before it.
            dilations={3: (1, 2), 4: (2, 4)},
            norm=_group_norm,
        )
        standardise(self.encoder)
        self.decoder = _Decoder()

    def forward(
        self,
        image: torch.Tensor,
        maps: torch.Tensor,
        previous: torch.Tensor,
        clicked: torch.Tensor,
    ) -> torch.Tensor:
        """(N, 1, H, W) opacity in [0, 1]."""
        return refine(*self.coarse(image, maps, previous, clicked))

    def coarse(
        self,
        image: torch.Tensor,
        maps: torch.Tensor,
        previous: torch.Tensor,
        clicked: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The filter's guide and the opacity before it, clicks forced; (N, 1, H, W) each."""
        features = self.encoder.features(torch.cat([image, maps], dim=1))
        opacity = self.decoder(features, image, maps, previous)
        return self.decoder.guide(image, maps), force_clicks(opacity, clicked)


def refine(guide: torch.Tensor, opacity: torch.Tensor) -> torch.Tensor:
    """The opacity drawn to the edges of the guide; (N, 1, H, W) each.

    The filter divides by variance + 1e-8 in float32: changes of 5e-5 in what comes in may come
    out as 0.3 in single pixels.
    """
    return guided_filter(guide, opacity, _FILTER_RADIUS, _FILTER_EPS).clamp(0, 1)


def force_clicks(opacity: torch.Tensor, clicked: torch.Tensor) -> torch.Tensor:
    """Opacity 0 at background clicks, then 1 at foreground clicks."""
    opacity = torch.where(clicked[:, :1] == 1, 0.0, opacity)
    return torch.where(clicked[:, 1:] == 1, 1.0, opacity)


def _group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(32, channels)


class _Decoder(nn.Module):
    """Pyramid pooling, then three steps up with skip connections; `guide` feeds the filter."""

    def __init__(self) -> None:
        super().__init__()
        self.usr_encoder = _ClickEncoder()
        self.ppm = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bin_), *_block(2048 + 256, 256, 1))
            for bin_ in (1, 2, 3, 6)
        )
        self.conv_up1 = nn.Sequential(*_block(2304 + 4 * 256, 256), *_block(256, 256))
        self.conv_up2 = nn.Sequential(*_block(256 + 256 + 256, 256))
        self.conv_up3 = nn.Sequential(*_block(256 + 64 + 64, 64))
        self.conv_up4 = nn.Sequential(
            nn.Conv2d(64 + 3 + 6, 32, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(32, 16, 3, padding=1),
            nn.LeakyReLU(),
            nn.Conv2d(16, 1, 1),
        )
        self.guided_map_conv1 = nn.Conv2d(5, 64, 1)
        self.guided_map_conv2 = nn.Conv2d(64, 1, 1)

    def forward(
        self,
        features: list[torch.Tensor],
        image: torch.Tensor,
        maps: torch.Tensor,
        previous: torch.Tensor,
    ) -> torch.Tensor:
        """features: the encoder's stem and four stages. Returns opacity in [0, 1]."""
        stem, layer1, _, _, layer4 = features
        half, quarter, eighth = self.usr_encoder(torch.cat([maps, previous], dim=1))
        deep = torch.cat([layer4, eighth], dim=1)
        context = [_resize(stage(deep), deep.shape[-2:]) for stage in self.ppm]
        x = _double(self.conv_up1(torch.cat([deep, *context], dim=1)))
        x = _double(self.conv_up2(torch.cat([x, layer1, quarter], dim=1)))
        x = _double(self.conv_up3(torch.cat([x, stem, half], dim=1)))
        return self.conv_up4(torch.cat([x, image, maps], dim=1)).clamp(0, 1)

    def guide(self, image: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """The filter's guide from the image and the finest map of either kind of click."""
        x = torch.cat([image, maps[:, 0:1], maps[:, 3:4]], dim=1)
        return self.guided_map_conv2(functional.relu(self.guided_map_conv1(x)))


class _ClickEncoder(nn.Module):
    """Click maps and previous mask, brought to 1/2, 1/4 and 1/8 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(7, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.conv3 = nn.Conv2d(64, 128, 3, padding=1)
        self.conv4 = nn.Conv2d(128, 256, 3, stride=2, padding=1)
        self.conv5 = nn.Conv2d(256, 256, 3, stride=2, padding=1)
        self.conv6 = nn.Conv2d(256, 256, 3, padding=1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        half = _leaky(self.conv2(_leaky(self.conv1(x))))
        quarter = _leaky(self.conv4(_leaky(self.conv3(half))))
        eighth = _leaky(self.conv6(_leaky(self.conv5(quarter))))
        return half, quarter, eighth


def _block(in_channels: int, out_channels: int, kernel: int = 3) -> list[nn.Module]:
    return [
        StandardisedConv2d(in_channels, out_channels, kernel, padding=kernel // 2),
        _group_norm(out_channels),
        nn.LeakyReLU(),
    ]


def _leaky(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x)


def _double(x: torch.Tensor) -> torch.Tensor:
    return _resize(x, (2 * x.shape[-2], 2 * x.shape[-1]))


def _resize(x: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    return functional.interpolate(x, size, mode="bilinear", align_corners=False)
