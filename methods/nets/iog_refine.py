"""IOG's refinement network: further clicks enter after the backbone, which runs once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import nn

from .iog import backbone
from .iog_heads import CoarseNet, FineNet, enlarge, slice_conv
from .psp import PyramidPooling


@dataclass(frozen=True)
class Encoded:
    """The part of the refinement network's computation that does not depend on added clicks.

    pooled_1, _2, _3, _6: (N, C, bin, bin), the backbone's share in each bin of pyramid pooling.
    pooled: (N, 2 heads, h/16, w/16), its share in their reduction. third, second, first:
    (N, heads, ...), lateral connections of layer3 (1/16), layer2 (1/8) and layer1 (1/4).
    """

    pooled_1: torch.Tensor
    pooled_2: torch.Tensor
    pooled_3: torch.Tensor
    pooled_6: torch.Tensor
    pooled: torch.Tensor
    third: torch.Tensor
    second: torch.Tensor
    first: torch.Tensor

    @property
    def bins(self) -> tuple[torch.Tensor, ...]:
        return self.pooled_1, self.pooled_2, self.pooled_3, self.pooled_6

    def split(self) -> list["Encoded"]:
        """One for each image of the batch, N = 1 each, owning its memory."""
        columns = [tensor.split(1) for tensor in self._tensors()]
        return [Encoded(*(t.clone() for t in row)) for row in zip(*columns, strict=True)]

    @classmethod
    def stack(cls, parts: Sequence["Encoded"]) -> "Encoded":
        """The parts' images as one batch, in order."""
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(part._tensors() for part in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def _tensors(self) -> list[torch.Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


class IOGRefineNet(nn.Module):
    """The three-point network with a light branch for guidance, joined before pyramid pooling.

    Parameters as for IOGNet; the branch grows from heads / 4 channels to heads, and ends in
    heads / 4.
    """

    kind = "iog-refine"

    def __init__(self, depth: int = 101, *, side: int = 512, heads: int = 256) -> None:
        super().__init__()
        self.depth, self.side, self.heads = depth, side, heads
        small = (side // 4, side // 4)
        self.backbone = backbone(depth)
        _, first, second, third, fourth = self.backbone.channels
        joined = fourth + heads // 4
        self.psp4 = _SharedPooling(joined, joined // 4, 2 * heads)
        self.iog_points = _guidance_branch(heads)
        self.Coarse_net = CoarseNet((2 * heads, third, second, first), heads, small)
        self.Fine_net = FineNet(heads, small)

    @property
    def config(self) -> dict[str, Any]:
        """What the constructor needs to make this network again, and its kind."""
        return {"kind": self.kind, "depth": self.depth, "side": self.side, "heads": self.heads}

    def encode(self, x: torch.Tensor) -> Encoded:
        """Everything that does not depend on added clicks.

        x: (N, 5, h, w) float32 in 0..255 as for IOGNet, with the opening's guidance.
        """
        _, first, second, third, fourth = self.backbone.features(x)
        laterals = self.Coarse_net.laterals[1:]
        deeper_first = zip(laterals, (third, second, first), strict=True)
        shares = self.psp4.share(fourth)
        return Encoded(*shares, *(lateral(x) for lateral, x in deeper_first))

    def decode(self, encoded: Encoded, guidance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Four coarse predictions, deepest level first, then the fine one.

        guidance: (N, 2, h, w) float32 in 0..255, inside and outside, with the added clicks.
        Each output: (N, 1, side / 4, side / 4) logits.
        """
        levels = self._levels(encoded, guidance)
        return (*self.Coarse_net.predictions(levels), self.Fine_net(levels))

    def fine(self, encoded: Encoded, guidance: torch.Tensor) -> torch.Tensor:
        """The last output of `decode` enlarged to (N, 1, side, side), for inference."""
        output = self.Fine_net(self._levels(encoded, guidance))
        return enlarge(output, (self.side, self.side))

    def forward(self, x: torch.Tensor, guidance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """`decode` of `encode`."""
        return self.decode(self.encode(x), guidance)

    def _levels(self, encoded: Encoded, guidance: torch.Tensor) -> list[torch.Tensor]:
        context = self.psp4.complete(encoded.bins, encoded.pooled, self.iog_points(guidance))
        deepest = self.Coarse_net.laterals[0](context)
        return self.Coarse_net.levels([deepest, encoded.third, encoded.second, encoded.first])


class _SharedPooling(PyramidPooling):
    """Pyramid pooling of two groups of channels; the first group is available earlier.

    Pooling and 1x1 convolutions are linear: what the first group adds to each sum is computed
    once, what the second adds is computed for each click.
    """

    def share(self, features: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the first channels add to each bin's sums, and to those of the reduction."""
        bins = [slice_conv(stage[1], stage[0](features), 0) for stage in self.stages]  # type: ignore[index,operator]
        first = sum(stage[1].out_channels for stage in self.stages)  # type: ignore[index,misc]
        return (*bins, slice_conv(self.bottleneck[0], features, first))  # type: ignore[arg-type]

    def complete(
        self, bins: Sequence[torch.Tensor], pooled: torch.Tensor, features: torch.Tensor
    ) -> torch.Tensor:
        """The output, from what `share` gave and the last channels."""
        reduce, *finish = self.bottleneck
        first = 0
        total = pooled
        for stage, known in zip(self.stages, bins, strict=True):
            pool, conv, *norm = stage  # type: ignore[misc]
            added = slice_conv(conv, pool(features), conv.in_channels - features.shape[1])
            x = known + added
            for layer in norm:
                x = layer(x)
            total = total + enlarge(slice_conv(reduce, x, first), total.shape[-2:])  # type: ignore[arg-type]
            first += x.shape[1]
        own = slice_conv(reduce, features, reduce.in_channels - features.shape[1])  # type: ignore
        total = total + own
        for layer in finish:
            total = layer(total)
        return total


def _guidance_branch(heads: int) -> nn.Sequential:
    """Two channels of guidance to heads / 4 at 1/16 of the size."""
    layers: list[nn.Module] = []
    before = 2
    for channels in (heads // 4, heads // 2, heads, heads):
        conv = nn.Conv2d(before, channels, 3, stride=2, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        before = channels
    last = nn.Conv2d(before, heads // 4, 1, bias=False)
    return nn.Sequential(*layers, last, nn.BatchNorm2d(heads // 4), nn.ReLU(inplace=True))
