"""From a plain ViT's one map to logits: a pyramid made of it, and a head that joins the levels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Maps at 1/4, 1/8, 1/16 and 1/32 of the size (where a patch is 1/16).
_LEVELS = (4, 8, 16, 32)


class SimplePyramid(nn.Module):
    """(B, C, h, w) -> four maps of 4, 2, 1 and 1/2 times its size (Li et al., ECCV 2022)."""

    def __init__(self, width: int, outputs: Sequence[int]) -> None:
        """outputs: channels of the four maps."""
        super().__init__()
        four = max(2 * outputs[0], width // 2)
        eight = max(outputs[1], width // 2)
        coarse = max(outputs[3], 2 * width)
        self.down_4 = nn.Sequential(
            nn.ConvTranspose2d(width, four, 2, stride=2),
            nn.GroupNorm(1, four),
            nn.GELU(),
            nn.ConvTranspose2d(four, four // 2, 2, stride=2),
            nn.GroupNorm(1, four // 2),
            *_projected(four // 2, outputs[0]),
        )
        self.down_8 = nn.Sequential(
            nn.ConvTranspose2d(width, eight, 2, stride=2),
            nn.GroupNorm(1, eight),
            *_projected(eight, outputs[1]),
        )
        self.down_16 = nn.Sequential(*_projected(width, outputs[2]))
        self.down_32 = nn.Sequential(
            nn.Conv2d(width, coarse, 2, stride=2),
            nn.GroupNorm(1, coarse),
            *_projected(coarse, outputs[3]),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        return [getattr(self, f"down_{level}")(x) for level in _LEVELS]


def _projected(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, 1), nn.GroupNorm(1, outputs), nn.GELU()


class _ConvRelu(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.conv(x))


class FusionHead(nn.Module):
    """The pyramid's maps, enlarged to the finest and joined, to one map of logits.

    last: the name of the last layer, `conv_seg` in SimpleClick and `seg_conv` in SegNext.
    """

    def __init__(self, inputs: Sequence[int], channels: int, last: str) -> None:
        super().__init__()
        self.convs = nn.ModuleList(_ConvRelu(width, channels) for width in inputs)
        self.fusion_conv = _ConvRelu(len(inputs) * channels, channels)
        self.last = last
        setattr(self, last, nn.Conv2d(channels, 1, 1))

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        size = maps[0].shape[2:]
        alike = [
            functional.interpolate(conv(x), size=size, mode="bilinear")
            for conv, x in zip(self.convs, maps, strict=True)
        ]
        return getattr(self, self.last)(self.fusion_conv(torch.cat(alike, dim=1)))


def decoder_widths(state: Mapping[str, Any]) -> tuple[list[int], int]:
    """(channels of the pyramid's four maps, of the head) in a state dict. Raises KeyError."""
    maps = [int(state[f"head.convs.{k}.conv.weight"].shape[1]) for k in range(len(_LEVELS))]
    return maps, len(state["head.fusion_conv.conv.weight"])
