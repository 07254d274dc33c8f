"""Plain vision transformers (Dosovitskiy et al., ICLR 2021) with windowed blocks, as in ViTDet.

The key names are those of SimpleClick and SegNext.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...harness.errors import UserError

#: Side in pixels of the images that the backbones were pre-trained on, and of a window of patches.
_WINDOW = 224
#: Heads by width, for checkpoints that do not store the number.
_HEADS = {160: 4, 768: 12, 1024: 16, 1280: 16}


@dataclass(frozen=True)
class ViTShape:
    """width: channels of a token. grid: tokens along each side in training. patch: pixels."""

    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    grid: int

    @property
    def size(self) -> int:
        """Side in pixels of the images in training."""
        return self.grid * self.patch


class Attention(nn.Module):
    """Self-attention of (B, N, C) tokens."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        by_head = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        found = functional.scaled_dot_product_attention(*by_head.unbind(0))
        return self.proj(found.transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """A transformer block with the norms first."""

    def __init__(self, width: int, heads: int, hidden: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.mlp = MLP(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """(B, 3, H, W) -> (B, C, H / patch, W / patch)."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x)


class WindowedViT(nn.Module):
    """Patches of an image, and maps added to them, through the blocks.

    Every `global_every`th block attends over the whole image, the others within windows. There is
    no class token; the first row of the position embedding was its own and is not used.
    """

    def __init__(self, shape: ViTShape, global_every: int) -> None:
        super().__init__()
        self.shape = shape
        self.global_every = global_every
        self.patch_embed = PatchEmbedding(shape.width, shape.patch)
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + shape.grid**2, shape.width))
        self.blocks = nn.ModuleList(
            Block(shape.width, shape.heads, shape.hidden, eps=1e-6) for _ in range(shape.depth)
        )

    def forward(self, image: Tensor, added: Tensor | None = None) -> Tensor:
        """(B, C, h, w). image: (B, 3, H, W) normalised; added: (B, C, h, w) or None."""
        x = self.patch_embed(image)
        if added is not None:
            x = x + added
        height, width = x.shape[2:]
        x = x + self._positions(height, width)
        x = x.permute(0, 2, 3, 1)
        rows, columns = self._windows(height), self._windows(width)
        split = False
        for number, block in enumerate(self.blocks, start=1):
            everywhere = number % self.global_every == 0
            if everywhere and split:
                x = _joined(x, rows, columns)
            elif not everywhere and not split:
                x = _split(x, rows, columns)
            split = not everywhere
            x = block(x.flatten(1, 2)).view(x.shape)
        if split:
            x = _joined(x, rows, columns)
        return x.permute(0, 3, 1, 2).contiguous()

    def _windows(self, tokens: int) -> int:
        """How many windows there are along a side."""
        return max(1, tokens // (_WINDOW // self.shape.patch))

    def _positions(self, height: int, width: int) -> Tensor:
        """(1, C, height, width): the position embedding, interpolated where the grid differs."""
        grid = self.shape.grid
        positions = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (grid, grid))
        if (height, width) == (grid, grid):
            return positions
        return functional.interpolate(positions, size=(height, width), mode="bicubic")


def _split(x: Tensor, rows: int, columns: int) -> Tensor:
    """(B, h, w, C) -> (B * rows * columns, h / rows, w / columns, C)."""
    height, width = x.shape[1:3]
    if height % rows or width % columns:
        raise ValueError(f"{height} x {width} tokens cannot be split {rows} x {columns} times")
    x = x.unflatten(2, (columns, -1)).unflatten(1, (rows, -1))
    return x.transpose(2, 3).flatten(0, 2)


def _joined(x: Tensor, rows: int, columns: int) -> Tensor:
    """Undoes `_split`."""
    x = x.unflatten(0, (-1, rows, columns)).transpose(2, 3)
    return x.flatten(3, 4).flatten(1, 2)


def vit_shape(state: Mapping[str, Any], what: str, heads: int | None = None) -> ViTShape:
    """The shape of the `backbone.` in a state dict. heads: None for those usual at its width.

    what: how errors call the checkpoint. Raises UserError when there is no such backbone.
    """
    try:
        patches = state["backbone.patch_embed.proj.weight"].shape
        positions = state["backbone.pos_embed"].shape[1] - 1
        hidden = len(state["backbone.blocks.0.mlp.fc1.weight"])
    except KeyError as error:
        raise UserError(f"{what} is no plain ViT checkpoint: it has no {error}") from None
    width, patch = int(patches[0]), int(patches[2])
    heads = heads or _HEADS.get(width)
    if heads is None:
        raise UserError(
            f"{what} is a ViT of width {width} whose heads are not known: "
            f"its config must say, or the width be one of {', '.join(map(str, _HEADS))}"
        )
    depth = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("backbone.blocks."))
    return ViTShape(width, depth, heads, hidden, patch, isqrt(positions))
