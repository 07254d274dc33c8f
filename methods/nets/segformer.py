"""SegFormer (Xie et al., NeurIPS 2021) with clicks as input, with FocalClick's key names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...harness.errors import UserError

_STAGES = 4
_HEADS = (1, 2, 5, 8)
#: Keys and values are taken from maps reduced by so much.
_REDUCTIONS = (8, 4, 2, 1)
_MLP_RATIO = 4


@dataclass(frozen=True)
class _Version:
    """widths and depths: channels and blocks of the four stages. decoder: channels of its maps."""

    widths: tuple[int, int, int, int]
    depths: tuple[int, int, int, int]
    decoder: int


_VERSIONS = {
    "b0": _Version((32, 64, 160, 256), (2, 2, 2, 2), 256),
    "b3": _Version((64, 128, 320, 512), (3, 4, 18, 3), 512),
}


class PatchEmbedding(nn.Module):
    """A strided convolution of overlapping patches and a layer norm: (B, C, H, W) -> the same."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.proj(x)
        return _as_map(self.norm(_as_tokens(x)), x.shape[2:])


class ReducedAttention(nn.Module):
    """Attention of every place to the places of a smaller map."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)
        self.sr = nn.Conv2d(channels, channels, reduction, reduction) if reduction > 1 else None
        self.norm = nn.LayerNorm(channels) if reduction > 1 else None

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        """(B, N, C) tokens of a map of that size -> (B, N, C)."""
        source = x
        if self.sr is not None and self.norm is not None:
            source = self.norm(_as_tokens(self.sr(_as_map(x, size))))
        queries = self._by_head(self.q(x))
        keys, values = (self._by_head(part) for part in self.kv(source).chunk(2, dim=2))
        found = functional.scaled_dot_product_attention(queries, keys, values)
        return self.proj(found.transpose(1, 2).flatten(2))

    def _by_head(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.heads, -1)).transpose(1, 2)


class DepthwiseConv(nn.Module):
    """A depthwise 3x3 convolution of tokens as a map."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return _as_tokens(self.dwconv(_as_map(x, size)))


class MixingMLP(nn.Module):
    """Two linear layers with a depthwise convolution between them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, _MLP_RATIO * channels)
        self.dwconv = DepthwiseConv(_MLP_RATIO * channels)
        self.fc2 = nn.Linear(_MLP_RATIO * channels, channels)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        return self.fc2(functional.gelu(self.dwconv(self.fc1(x), size)))


class MixBlock(nn.Module):
    """A transformer block on the tokens of a map."""

    def __init__(self, channels: int, heads: int, reduction: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=1e-6)
        self.attn = ReducedAttention(channels, heads, reduction)
        self.norm2 = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = MixingMLP(channels)

    def forward(self, x: Tensor, size: Sequence[int]) -> Tensor:
        x = x + self.attn(self.norm1(x), size)
        return x + self.mlp(self.norm2(x), size)


class MixTransformer(nn.Module):
    """Image and side maps to the maps of four stages, at 1/4, 1/8, 1/16 and 1/32 of the size."""

    def __init__(self, version: _Version, side_channels: int) -> None:
        super().__init__()
        inputs = 3
        for stage, width in enumerate(version.widths, start=1):
            first = stage == 1
            embedding = PatchEmbedding(inputs, width, 7 if first else 3, 4 if first else 2)
            heads, reduction = _HEADS[stage - 1], _REDUCTIONS[stage - 1]
            blocks = (MixBlock(width, heads, reduction) for _ in range(version.depths[stage - 1]))
            setattr(self, f"patch_embed{stage}", embedding)
            setattr(self, f"block{stage}", nn.ModuleList(blocks))
            setattr(self, f"norm{stage}", nn.LayerNorm(width, eps=1e-6))
            inputs = width
        self.patch_embed_side1 = PatchEmbedding(side_channels, version.widths[0], 7, 4)

    def forward(self, x: Tensor, side: Tensor) -> list[Tensor]:
        """x: (B, 3, H, W); side: (B, side_channels, H, W)."""
        found = []
        for stage in range(1, _STAGES + 1):
            x = getattr(self, f"patch_embed{stage}")(x)
            size, tokens = x.shape[2:], _as_tokens(x)
            for block in getattr(self, f"block{stage}"):
                tokens = block(tokens, size)
            x = _as_map(getattr(self, f"norm{stage}")(tokens), size)
            found.append(x)
            if stage == 1:
                # The clicks act on the later stages only; the decoder's first map is without them.
                x = x + self.patch_embed_side1(side)
        return found


class LinearEmbedding(nn.Module):
    """A linear layer on the channels of a map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return _as_map(self.proj(_as_tokens(x)), x.shape[2:])


class _Fuse(nn.Module):
    """A 1x1 convolution, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn(self.conv(x)))


class Decoder(nn.Module):
    """The maps of the four stages to logits at 1/4, and the features before the last layer."""

    def __init__(self, version: _Version) -> None:
        super().__init__()
        for stage, width in enumerate(version.widths, start=1):
            setattr(self, f"linear_c{stage}", LinearEmbedding(width, version.decoder))
        self.linear_fuse = _Fuse(_STAGES * version.decoder, version.decoder)
        self.linear_pred = nn.Conv2d(version.decoder, 1, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        size = maps[0].shape[2:]
        embedded = []
        for stage in range(_STAGES, 0, -1):
            x = getattr(self, f"linear_c{stage}")(maps[stage - 1])
            embedded.append(functional.interpolate(x, size=size, mode="bilinear"))
        features = self.linear_fuse(torch.cat(embedded, dim=1))
        return self.linear_pred(features), features


class SegFormer(nn.Module):
    """(B, 3, H, W) normalised image and side maps -> (B, 1, H/4, W/4) logits, and features."""

    def __init__(self, version: str, side_channels: int = 3) -> None:
        """version: b0 or b3. Raises UserError for another one."""
        super().__init__()
        if version not in _VERSIONS:
            raise UserError(f"SegFormer version {version!r}: must be {' or '.join(_VERSIONS)}")
        self.channels = _VERSIONS[version].decoder
        self.backbone = MixTransformer(_VERSIONS[version], side_channels)
        self.decode_head = Decoder(_VERSIONS[version])

    def forward(self, x: Tensor, side: Tensor) -> tuple[Tensor, Tensor]:
        return self.decode_head(self.backbone(x, side))


def segformer_version(state: Mapping[str, Any], what: str) -> str:
    """The version that a state dict is of. Raises UserError for one that is not supported."""
    width = len(state["feature_extractor.backbone.patch_embed1.proj.weight"])
    found = [name for name, version in _VERSIONS.items() if version.widths[0] == width]
    if not found:
        raise UserError(f"{what} is a SegFormer of width {width}; B0 and B3 are supported")
    return found[0]


def _as_tokens(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, H * W, C)."""
    return x.flatten(2).transpose(1, 2)


def _as_map(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, H * W, C) -> (B, C, H, W)."""
    return x.transpose(1, 2).unflatten(2, tuple(size))
