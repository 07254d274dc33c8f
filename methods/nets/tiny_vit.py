"""TinyViT as MobileSAM's image encoder (Wu et al., ECCV 2022; Zhang et al., 2023).

Names of parameters are those of MobileSAM's checkpoint. Attention biases are looked up at every
call, so that loading weights at any time is safe.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class TinyViT(nn.Module):
    """(B, 3, S, S) normalised images -> (B, channels, S / 16, S / 16) embeddings; S is a multiple
    of 16. The defaults are MobileSAM's."""

    def __init__(
        self,
        widths: Sequence[int] = (64, 128, 160, 320),
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (2, 4, 5, 10),
        windows: Sequence[int] = (7, 7, 14, 7),
        channels: int = 256,
    ) -> None:
        """widths, depths, heads, windows: of the four stages; the first is convolutional and has
        neither heads nor windows, whose first entries go unused, as in the released settings."""
        super().__init__()
        embed = nn.Sequential(
            _normalised(3, widths[0] // 2, 3, stride=2),
            nn.GELU(),
            _normalised(widths[0] // 2, widths[0], 3, stride=2),
        )
        self.patch_embed = nn.Sequential(OrderedDict(seq=embed))
        # The last reduction changes the width alone.
        reductions = [(widths[1], 2), (widths[2], 2), (widths[3], 1), None]
        stages = [
            _Stage([_Bottleneck(widths[0]) for _ in range(depths[0])], widths[0], (reductions[0]))
        ]
        for i in (1, 2, 3):
            blocks = [_Block(widths[i], heads[i], windows[i]) for _ in range(depths[i])]
            stages.append(_Stage(blocks, widths[i], reductions[i]))
        self.layers = nn.ModuleList(stages)
        self.neck = nn.Sequential(
            nn.Conv2d(widths[3], channels, 1, bias=False),
            _ChannelNorm(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            _ChannelNorm(channels),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.patch_embed(pixels)
        for stage in self.layers:
            x = stage(x)
        return self.neck(x)


def _normalised(
    before: int, after: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution (`c`) and its batch normalisation (`bn`)."""
    conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(c=conv, bn=nn.BatchNorm2d(after)))


class _Stage(nn.Module):
    """Blocks, then a reduction; both take and give (B, C, h, w)."""

    def __init__(
        self, blocks: Sequence[nn.Module], width: int, reduction: tuple[int, int] | None
    ) -> None:
        """reduction: to which width, with which stride; None for none."""
        super().__init__()
        self.blocks = nn.Sequential(*blocks)
        self.downsample = nn.Identity() if reduction is None else _Reduction(width, *reduction)

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(self.blocks(x))


class _Bottleneck(nn.Module):
    """An inverted bottleneck with a residual connection, four times as wide inside."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = 4 * width
        self.conv1 = _normalised(width, inner)
        self.conv2 = _normalised(inner, inner, 3, groups=inner)
        self.conv3 = _normalised(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.gelu(self.conv2(functional.gelu(self.conv1(x))))
        return functional.gelu(x + self.conv3(inner))


class _Reduction(nn.Module):
    """To another width and, with stride 2, half the size."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _normalised(before, after)
        self.conv2 = _normalised(after, after, 3, stride, groups=after)
        self.conv3 = _normalised(after, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(functional.gelu(self.conv2(functional.gelu(self.conv1(x)))))


class _Block(nn.Module):
    """Attention within windows, a convolution of each channel, a perceptron of each place."""

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.attn = _Attention(width, heads, window)
        self.local_conv = _normalised(width, width, 3, groups=width)
        self.mlp = _Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attended(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.local_conv(x).permute(0, 2, 3, 1)
        return (x + self.mlp(x)).permute(0, 3, 1, 2)

    def _attended(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> the same. Windows that reach beyond the border see zeros there."""
        count, height, width, channels = x.shape
        side = self.window
        padded = functional.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        down, across = padded.shape[1] // side, padded.shape[2] // side
        grid = padded.view(count, down, side, across, side, channels).transpose(2, 3)
        found = self.attn(grid.reshape(-1, side * side, channels))
        grid = found.view(count, down, across, side, side, channels).transpose(2, 3)
        return grid.reshape(padded.shape)[:, :height, :width]


class _Attention(nn.Module):
    """(windows, places, C) -> the same. A bias for each head and distance down and across."""

    places: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        steps = torch.arange(window)
        far = (steps[:, None] - steps).abs()
        between = far[:, None, :, None] * window + far[None, :, None, :]
        self.register_buffer("places", between.reshape(window**2, window**2), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        count, length, width = x.shape
        # Query, key and value of one head lie side by side.
        mixed = self.qkv(self.norm(x)).view(count, length, self.heads, 3, width // self.heads)
        query, key, value = mixed.permute(3, 0, 2, 1, 4)
        bias = self.attention_biases[:, self.places]
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query))
        return self.proj(found.transpose(1, 2).reshape(count, length, width))


class _Perceptron(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(self.norm(x))))


class _ChannelNorm(nn.LayerNorm):
    """Normalises (B, C, h, w) over channels."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
