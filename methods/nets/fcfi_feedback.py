"""FCFI's two modules around the previous mask: correcting it near a click, and fusing it in.

Wei, Zhang, Yong: "Focused and Collaborative Feedback Integration for Interactive Image
Segmentation", CVPR 2023. Attribute names are the released checkpoints' keys.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .resize import resize


@dataclass(frozen=True)
class Feedback:
    """The interaction so far as input of the network, for each of B batch elements.

    previous: (B, 1, H, W) probabilities of the last prediction, zeros before the first.
    newest: (B, 3) int64, row, column and kind (1 positive, 0 negative) of the most recent click,
    coordinates rounded towards zero.
    gate: (B,) float, 0 where there is no last prediction, else 1.
    """

    previous: Tensor
    newest: Tensor
    gate: Tensor


class ConvNormReLU(nn.Module):
    """A convolution with bias that keeps the size, norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv(x)))


class SeparableConvNormReLU(nn.Module):
    """Depthwise 3x3 and pointwise convolution, both with bias, norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.bn(self.conv1x1(self.conv3x3(x))))


def _encoder(inputs: int, channels: int) -> list[nn.Module]:
    return [
        ConvNormReLU(inputs, channels, 3),
        SeparableConvNormReLU(channels),
        SeparableConvNormReLU(channels),
    ]


class FocusedCorrection(nn.Module):
    """Draws the previous mask, in a window around the newest click, towards the click's kind.

    The more a pixel's encoding resembles that at the click, the farther. inputs: channels of the
    image features and of `aside` together. expansion: the window's share of the height and width.
    """

    def __init__(self, inputs: int, channels: int, expansion: float) -> None:
        super().__init__()
        self.info_encoder = nn.Sequential(*_encoder(inputs, channels))
        self.expansion = expansion

    def forward(self, features: Tensor, aside: Tensor, feedback: Feedback) -> Tensor:
        """The corrected mask, (B, 1, h, w).

        features: (B, C, h, w); aside: (B, A, H, W) image and click maps at the input's size.
        """
        size, full = features.shape[2:], feedback.previous.shape[2:]
        previous = resize(feedback.previous, size)
        seen = torch.cat([resize(aside, size), previous, features], dim=1)
        encoded = functional.normalize(self.info_encoder(seen), dim=1, eps=1e-12)
        row, column = (
            _scaled(feedback.newest[:, axis], full[axis], size[axis]).clamp(0, size[axis] - 1)
            for axis in (0, 1)
        )
        clicked = encoded[torch.arange(len(encoded), device=encoded.device), :, row, column]
        # As a matrix product: summed otherwise, the last bits are not those of the released code.
        alike = torch.einsum("bchw,bc->bhw", encoded, clicked)[:, None]
        strength = alike * self._window(feedback.newest, full, size)
        label = feedback.newest[:, 2].to(previous.dtype).view(-1, 1, 1, 1)
        return (1 - strength) * previous + strength * label

    def _window(self, newest: Tensor, full: Sequence[int], size: Sequence[int]) -> Tensor:
        """(B, 1, h, w) bool: within reach of the click, measured at the input's size."""
        rows, columns = (
            _near(
                newest[:, axis], int(self.expansion * full[axis] / 2 + 0.5), full[axis], size[axis]
            )
            for axis in (0, 1)
        )
        return (rows[:, :, None] & columns[:, None, :])[:, None]


def _near(click: Tensor, reach: int, full: int, size: int) -> Tensor:
    """(B, size) bool: the positions that [click - reach, click + reach) of `full` covers."""
    start = (click - reach).clamp(0, full)
    end = (click + reach).clamp(0, full)
    low = _scaled(start, full, size)[:, None]
    high = -_scaled(-end, full, size)[:, None]
    positions = torch.arange(size, device=click.device)
    return (low <= positions) & (positions < high)


def _scaled(position: Tensor, full: int, size: int) -> Tensor:
    """A position among `full` as one among `size`, rounded down, in whole numbers."""
    return torch.div(position * size, full, rounding_mode="floor")


class CollaborativeFusion(nn.Module):
    """Features and mask update one another: first the mask from both, then the features."""

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        self.feature_conv = ConvNormReLU(features, channels, 1)
        self.fusion_encoder = nn.Sequential(
            *_encoder(1 + channels, channels), nn.Conv2d(channels, 1, 3, padding=1)
        )
        self.residual_predictor = ConvNormReLU(features + 1, 1, 1)

    def forward(self, features: Tensor, mask: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        """(features, mask), updated. features: (B, C, h, w); mask: (B, 1, h, w); gate: (B,)."""
        joined = torch.cat([mask, self.feature_conv(features)], dim=1)
        updated = self.fusion_encoder(joined).sigmoid()
        residual = self.residual_predictor(torch.cat([features, updated], dim=1))
        return features + gate.view(-1, 1, 1, 1) * residual, updated
