"""SegNext (Liu et al., CVPR 2024): an image encoded once, and prompts that are fused with it."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...harness.errors import UserError
from ..runtime.checkpoint_file import state_of
from .checkpoint_config import parameters
from .click_network import ClickEncoding
from .isegm_models import fill
from .resize import resize
from .vit import Block, PatchEmbedding, ViTShape, WindowedViT, vit_shape
from .vit_decoder import FusionHead, SimplePyramid, decoder_widths


class SegNext(nn.Module):
    """`encode` an image, then `decode` the prompts on it, as often as there are clicks.

    Both work in a square frame of `size` pixels.
    """

    def __init__(
        self,
        shape: ViTShape,
        global_every: int,
        fusions: int,
        maps: Sequence[int],
        channels: int,
        encoding: ClickEncoding,
    ) -> None:
        """fusions: blocks that fuse image and prompts. maps: channels of the pyramid's levels;
        channels: of the head."""
        super().__init__()
        self.size = shape.size
        self.encoding = encoding
        self.backbone = WindowedViT(shape, global_every)
        self.visual_prompts_encoder = PatchEmbedding(shape.width, shape.patch)
        self.fusion_blocks = nn.ModuleList(
            Block(shape.width, shape.heads, shape.hidden, eps=1e-5) for _ in range(fusions)
        )
        self.neck = SimplePyramid(shape.width, maps)
        self.head = FusionHead(maps, channels, last="seg_conv")

    def encode(self, image: Tensor) -> Tensor:
        """(B, 3, size, size) normalised image -> (B, C, h, w) features."""
        return self.backbone(image)

    def prompts(self, previous: Tensor, points: Tensor) -> Tensor:
        """(B, C, h, w) features of the previous probabilities (B, 1, size, size) and the clicks."""
        disks = self.encoding(points, previous.shape[2:])
        return self.visual_prompts_encoder(torch.cat([previous, disks], dim=1))

    def decode(self, features: Tensor, previous: Tensor, points: Tensor) -> Tensor:
        """(B, 1, size, size) logits from what `encode` and `prompts` give and take."""
        fused = features + self.prompts(previous, points)
        tokens = fused.flatten(2).transpose(1, 2)
        for block in self.fusion_blocks:
            tokens = block(tokens)
        fused = tokens.transpose(1, 2).reshape(fused.shape)
        return resize(self.head(self.neck(fused)), previous.shape[2:])


_CLASS = "isegm.model.is_plainvit_model.PlainVitModel"
_DEFAULTS: dict[str, Any] = {
    "backbone_params": {},
    "neck_params": {},
    "head_params": {},
    "fusion_params": {},
    "norm_radius": 5,
}
_GLOBAL_EVERY = 3


def segnext_network(checkpoint: Mapping[str, Any], what: str) -> SegNext:
    """The network of a SegNext checkpoint, weights in place.

    checkpoint: a state dict, alone or under `model`, or under `state_dict` beside its `config`.
    Widths and depths are those of the tensors. what: how errors call it. Raises UserError when it
    is another system's or cannot be built.
    """
    state = state_of(checkpoint)
    if "visual_prompts_encoder.proj.weight" not in state:
        raise UserError(f"{what} is no SegNext checkpoint: it has no visual_prompts_encoder.*")
    values = parameters(checkpoint, what, _CLASS, _DEFAULTS)
    fusion = values["fusion_params"].get("type", "self_attention")
    if fusion != "self_attention":
        raise UserError(f"{what} has fusion type {fusion!r}; only self_attention is supported")
    backbone = values["backbone_params"]
    shape = vit_shape(state, what, backbone.get("num_heads"))
    fusions = {key.split(".")[1] for key in state if key.startswith("fusion_blocks.")}
    try:
        maps, channels = decoder_widths(state)
    except KeyError as error:
        raise UserError(f"{what} is no SegNext checkpoint: it has no {error}") from None
    network = SegNext(
        shape,
        int(backbone.get("global_atten_freq", _GLOBAL_EVERY)),
        len(fusions),
        maps,
        channels,
        ClickEncoding(disks=True, radius=values["norm_radius"]),
    )
    fill(network, state, what)
    return network
