"""The heads of IOG's backbone: the coarse network's pyramid and the fine network's cascade.

A 1x1 convolution and a bilinear enlargement commute, the latter being linear with weights that
sum to one. The convolution is done first here, at the smaller size.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

#: Levels of the pyramid: pooled layer4, layer3, layer2, layer1.
LEVELS = 4


def enlarge(x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """(N, C, h, w) -> (N, C, *size), bilinear with aligned corners; x itself if it has the size."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return functional.interpolate(x, tuple(size), mode="bilinear", align_corners=True)


def slice_conv(conv: nn.Conv2d, x: torch.Tensor, first: int) -> torch.Tensor:
    """The share of x in a 1x1 convolution without bias; x is its input channels from `first` on."""
    return functional.conv2d(x, conv.weight[:, first : first + x.shape[1]])


class CoarseNet(nn.Module):
    """A feature pyramid from the deepest level up, with a prediction at each level.

    channels: of the four levels' inputs, deepest first. heads: channels of the pyramid.
    size: (height, width) of the predictions. Parameter names are the released ones; the first
    of `upsamples` has weights there but is not used, the two deepest levels being of one size.
    """

    def __init__(self, channels: Sequence[int], heads: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Sequential(_pointwise(count, heads), nn.BatchNorm2d(heads), nn.ReLU(inplace=True))
            for count in channels
        )
        self.upsamples = nn.ModuleList(_Rise(heads) for _ in channels[1:])
        self.predict = nn.ModuleList(_prediction(heads, size) for _ in channels)

    def levels(self, laterals: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The pyramid from the outputs of `laterals`, deepest first."""
        found = [laterals[0]]
        for index, lateral in enumerate(laterals[1:]):
            below = self.upsamples[index](found[-1], lateral.shape[-2:]) if index else found[-1]
            found.append(lateral + below)
        return found

    def predictions(self, levels: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """(N, 1, *size) logits of each level."""
        return [predict(level) for predict, level in zip(self.predict, levels, strict=True)]

    def forward(self, features: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """The pyramid's levels, from (N, channels[i], h, w) each, deepest first."""
        pairs = zip(self.laterals, features, strict=True)
        return self.levels([lateral(x) for lateral, x in pairs])


class FineNet(nn.Module):
    """All levels of the pyramid refined, brought to one size and joined into one prediction.

    The deeper a level, the more bottlenecks: 3, 2, 1, 0.
    """

    def __init__(self, heads: int, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size
        self.cascade = nn.ModuleList(
            nn.Sequential(*(_Bottleneck(heads, heads) for _ in range(LEVELS - 1 - level)))
            for level in range(LEVELS)
        )
        self.final_predict = nn.Sequential(
            _Bottleneck(LEVELS * heads, heads),
            nn.Conv2d(heads, 1, 3, padding=1, bias=False),
            nn.BatchNorm2d(1),
        )

    def forward(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """(N, 1, *size) logits from the pyramid's levels, deepest first."""
        refined = [refine(level) for refine, level in zip(self.cascade, levels, strict=True)]
        joined, read_out, norm = self.final_predict
        return norm(read_out(joined.join(refined, self.size)))  # type: ignore[operator]


class _Bottleneck(nn.Module):
    """A residual bottleneck whose shortcut is always a projection."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        middle = channels // 2
        self.conv1 = _pointwise(in_channels, middle)
        self.bn1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(middle)
        self.conv3 = _pointwise(middle, channels)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample = nn.Sequential(_pointwise(in_channels, channels), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join([x], x.shape[-2:])

    def join(self, parts: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """The block applied to parts of its input channels, each enlarged to `size` first."""
        projection, norm = self.downsample
        entering = _projected(parts, self.conv1, size)
        shortcut = _projected(parts, projection, size)  # type: ignore[arg-type]
        x = functional.relu(self.bn1(entering))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + norm(shortcut))


class _Rise(nn.Sequential):
    """A level enlarged to the next one's size, convolved and normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__(nn.Identity(), _pointwise(channels, channels), nn.BatchNorm2d(channels))

    def forward(self, x: torch.Tensor, size: Sequence[int]) -> torch.Tensor:  # type: ignore[override]
        return self[2](enlarge(self[1](x), size))


def _projected(parts: Sequence[torch.Tensor], conv: nn.Conv2d, size: Sequence[int]) -> torch.Tensor:
    """A 1x1 convolution of the concatenation of enlarged parts; parts of one size are added
    before they are enlarged."""
    sums: dict[tuple[int, ...], torch.Tensor] = {}
    first = 0
    for part in parts:
        value = slice_conv(conv, part, first)
        first += part.shape[1]
        key = tuple(part.shape[-2:])
        sums[key] = sums[key] + value if key in sums else value
    enlarged = [enlarge(value, size) for value in sums.values()]
    return sum(enlarged[1:], start=enlarged[0])


def _pointwise(in_channels: int, channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, channels, 1, bias=False)


def _prediction(heads: int, size: tuple[int, int]) -> nn.Sequential:
    """One logit per place; it is normalised after it has been enlarged."""
    return nn.Sequential(
        _pointwise(heads, heads),
        nn.BatchNorm2d(heads),
        nn.ReLU(inplace=True),
        nn.Conv2d(heads, 1, 3, padding=1, bias=False),
        nn.Upsample(size, mode="bilinear", align_corners=True),
        nn.BatchNorm2d(1),
    )
