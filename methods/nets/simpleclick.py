"""SimpleClick (Liu et al., ICCV 2023): a plain ViT whose patches also see clicks."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...harness.errors import UserError
from ..runtime.checkpoint_file import state_of
from .checkpoint_config import parameters
from .click_network import ClickEncoding, normalise
from .isegm_models import fill
from .resize import resize
from .vit import PatchEmbedding, ViTShape, WindowedViT, vit_shape
from .vit_decoder import FusionHead, SimplePyramid, decoder_widths


class SimpleClick(nn.Module):
    """Image, clicks and previous mask to logits, at any size that the patches divide."""

    sees_previous = True

    def __init__(
        self, shape: ViTShape, maps: Sequence[int], channels: int, encoding: ClickEncoding
    ) -> None:
        """maps: channels of the pyramid's levels; channels: of the head."""
        super().__init__()
        # The base model has two groups of blocks that end with global attention, the others four.
        every = 6 if shape.depth == 12 else max(1, shape.depth // 4)
        self.encoding = encoding
        self.patch_embed_coords = PatchEmbedding(shape.width, shape.patch)
        self.backbone = WindowedViT(shape, global_every=every)
        self.neck = SimplePyramid(shape.width, maps)
        self.head = FusionHead(maps, channels, last="conv_seg")

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """(B, 1, H, W) logits.

        image: (B, 4, H, W) RGB in [0, 1] and the previous probabilities; points: (B, 2N, 2) as
        `points_tensor` gives them.
        """
        size = image.shape[2:]
        clicks = torch.cat([image[:, 3:], self.encoding(points, size)], dim=1)
        features = self.backbone(normalise(image[:, :3]), self.patch_embed_coords(clicks))
        return resize(self.head(self.neck(features)), size)


_CLASS = "isegm.model.is_plainvit_model.PlainVitModel"
_DEFAULTS: dict[str, Any] = {
    "backbone_params": {},
    "neck_params": {},
    "head_params": {},
    "use_leaky_relu": False,
    "norm_radius": 5,
    "with_prev_mask": True,
}


def simpleclick_network(checkpoint: Mapping[str, Any], what: str) -> SimpleClick:
    """The network of a SimpleClick checkpoint, weights in place.

    checkpoint: a state dict, alone or under `model`, or under `state_dict` beside its `config`.
    Widths and depths are those of the tensors. what: how errors call it. Raises UserError when it
    is another system's or cannot be built.
    """
    state = state_of(checkpoint)
    if "patch_embed_coords.proj.weight" not in state:
        raise UserError(f"{what} is no SimpleClick checkpoint: it has no patch_embed_coords.*")
    values = parameters(checkpoint, what, _CLASS, _DEFAULTS)
    upsample = values["head_params"].get("upsample", "x1")
    if upsample != "x1" or not values["with_prev_mask"]:
        raise UserError(
            f"{what} has upsample={upsample}, with_prev_mask={values['with_prev_mask']}; "
            "only x1 and True are supported"
        )
    shape = vit_shape(state, what, values["backbone_params"].get("num_heads"))
    try:
        maps, channels = decoder_widths(state)
    except KeyError as error:
        raise UserError(f"{what} is no SimpleClick checkpoint: it has no {error}") from None
    encoding = ClickEncoding(disks=True, radius=values["norm_radius"])
    network = SimpleClick(shape, maps, channels, encoding)
    fill(network, state, what)
    return network
