"""Pyramid pooling (Zhao et al., Pyramid Scene Parsing Network, CVPR 2017)."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional


class PyramidPooling(nn.Module):
    """Context at several scales, concatenated with the features and reduced.

    Each bin averages the features over a bin x bin grid and reduces them to `stage_channels`
    (1x1 convolution, batch normalisation, ReLU). All are brought back to the features' size,
    bilinearly with aligned corners, and concatenated in the order of the bins with the features
    last; a 1x1 convolution, batch normalisation and ReLU bring them to `out_channels`.
    Parameter names: `stages.i.1`, `stages.i.2`, `bottleneck.0`, `bottleneck.1`.
    """

    def __init__(
        self,
        in_channels: int,
        stage_channels: int,
        out_channels: int,
        bins: Sequence[int] = (1, 2, 3, 6),
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            nn.Sequential(nn.AdaptiveAvgPool2d(bin_), *_pointwise(in_channels, stage_channels))
            for bin_ in bins
        )
        joined = in_channels + len(bins) * stage_channels
        self.bottleneck = nn.Sequential(*_pointwise(joined, out_channels))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, in_channels, h, w) -> (N, out_channels, h, w)."""
        size = features.shape[-2:]
        context = [
            functional.interpolate(stage(features), size, mode="bilinear", align_corners=True)
            for stage in self.stages
        ]
        # Enlarged from one pixel, a map has lost its layout, and with it all that follow it.
        last = features.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if last else torch.contiguous_format
        context = [x.contiguous(memory_format=layout) for x in context]
        return self.bottleneck(torch.cat([*context, features], dim=1))


def _pointwise(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
