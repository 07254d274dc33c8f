"""IOG's network for an inside point and the four corners of a box."""

from typing import Any

import torch
from torch import nn

from .dilated_resnet import DilatedResNet
from .iog_heads import CoarseNet, FineNet, enlarge
from .psp import PyramidPooling

#: R, G, B, inside guidance, outside guidance.
IN_CHANNELS = 5


def backbone(depth: int) -> DilatedResNet:
    """A ResNet for five channels whose layer4 keeps 1/16 of the size by dilations 2, 4, 8."""
    return DilatedResNet(depth, in_channels=IN_CHANNELS, strides={4: 1}, dilations={4: (2, 4, 8)})


class IOGNet(nn.Module):
    """The three-point network: a ResNet, pyramid pooling, a coarse and a fine network.

    depth: of the ResNet: 18, 34, 50 or 101. side: of the outputs, whatever the input's size, a
    multiple of 16. heads: channels of the coarse and the fine network, a multiple of 4; pyramid
    pooling has twice as many. 512 and 256 are the released networks', whose keys those of the
    state dict are.
    """

    kind = "iog"

    def __init__(self, depth: int = 101, *, side: int = 512, heads: int = 256) -> None:
        super().__init__()
        self.depth, self.side, self.heads = depth, side, heads
        small = (side // 4, side // 4)
        self.backbone = backbone(depth)
        _, first, second, third, fourth = self.backbone.channels
        self.psp4 = PyramidPooling(fourth, fourth // 4, 2 * heads)
        self.Coarse_net = CoarseNet((2 * heads, third, second, first), heads, small)
        self.Fine_net = FineNet(heads, small)

    @property
    def config(self) -> dict[str, Any]:
        """What the constructor needs to make this network again, and its kind."""
        return {"kind": self.kind, "depth": self.depth, "side": self.side, "heads": self.heads}

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Four coarse predictions, deepest level first, then the fine one.

        x: (N, 5, h, w) float32 in 0..255, R, G, B, inside and outside guidance; h and w are
        multiples of 16, normally `side`. Each output: (N, 1, side, side) logits.
        """
        levels = self._levels(x)
        outputs = [*self.Coarse_net.predictions(levels), self.Fine_net(levels)]
        return tuple(enlarge(output, (self.side, self.side)) for output in outputs)

    def fine(self, x: torch.Tensor) -> torch.Tensor:
        """The last output of `forward` alone, for inference."""
        return enlarge(self.Fine_net(self._levels(x)), (self.side, self.side))

    def _levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        _, first, second, third, fourth = self.backbone.features(x)
        return self.Coarse_net((self.psp4(fourth), third, second, first))
