"""SAM and its kin behind one interface: an image is encoded once, prompts are decoded often.

The layers are those of Hugging Face transformers' models, which are handed in.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Prompts:
    """What B objects are prompted with, all in like number.

    points: (B, 1, N, 2) float32 (x, y) in the network's input, pixel centres at integers; labels:
    (B, 1, N) int64, 1 for the object and 0 for the background; both None without points. boxes:
    (B, 1, 4) float32 (left, top, right, bottom), or None. masks: (B, 1, h, w) logits of an earlier
    prediction, or None.
    """

    points: Tensor | None
    labels: Tensor | None
    boxes: Tensor | None
    masks: Tensor | None


class SamNetwork(nn.Module):
    """SAM: a `SamModel`. `encode` what depends on the image alone, `decode` with prompts."""

    #: Logits are clamped to plus and minus this before they are fed back.
    limit: float = float("inf")

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @property
    def side(self) -> int:
        """Of the square input, in pixels."""
        return self.model.prompt_encoder.input_image_size

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, side, side) normalised images -> tensors of B embeddings each."""
        return (self.model.vision_encoder(pixels)[0],)

    def decode(
        self, embedding: tuple[Tensor, ...], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        """(B, C, side / 4, side / 4) logits and (B, C) predicted scores; C is 3 or 1."""
        return self._answer(prompts, multimask, image_embeddings=embedding[0])

    def _answer(self, prompts: Prompts, multimask: bool, **more: Any) -> tuple[Tensor, Tensor]:
        found = self.model(
            input_points=prompts.points,
            input_labels=prompts.labels,
            input_boxes=prompts.boxes,
            input_masks=prompts.masks,
            multimask_output=multimask,
            **more,
        )
        return found.pred_masks[:, 0], found.iou_scores[:, 0]


class MobileSamNetwork(SamNetwork):
    """MobileSAM: a `SamModel` whose vision encoder is a `TinyViT`."""

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return (self.model.vision_encoder(pixels),)


class HQSamNetwork(SamNetwork):
    """HQ-SAM: a `SamHQModel`. Its masks are sorted by predicted score, best first.

    hq_token_only: the mask of the high-quality token alone, not added to SAM's.
    """

    def __init__(self, model: Any, hq_token_only: bool = False) -> None:
        super().__init__(model)
        self.hq_token_only = hq_token_only
        if upscales_wrong_tensor(model.mask_decoder):
            upscale_transformed(model.mask_decoder)

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """The embedding, and the features after the first block that attends globally."""
        found = self.model.vision_encoder(pixels)
        return found[0], found[1][0]

    def decode(
        self, embedding: tuple[Tensor, ...], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        masks, scores = self._answer(
            prompts,
            multimask,
            image_embeddings=embedding[0],
            intermediate_embeddings=[embedding[1]],
            hq_token_only=self.hq_token_only,
        )
        # The high-quality token has one mask, but comes with the scores of three.
        return masks, scores[:, : masks.shape[1]]


class Sam2Network(SamNetwork):
    """SAM 2 and 2.1, EdgeTAM, SAM 3's tracker: a `Sam2Model` or one with its interface.

    stability_fallback: if one mask is requested and it is unstable, the best of three instead.
    """

    limit = 32.0

    def __init__(self, model: Any, stability_fallback: bool = True) -> None:
        super().__init__(model)
        self.stability_fallback = stability_fallback
        model.mask_decoder.dynamic_multimask_via_stability = stability_fallback

    def encode(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Three levels, the finest first."""
        return tuple(self.model.get_image_embeddings(pixels))

    def decode(
        self, embedding: tuple[Tensor, ...], prompts: Prompts, multimask: bool
    ) -> tuple[Tensor, Tensor]:
        return self._answer(prompts, multimask, image_embeddings=list(embedding))


def upscales_wrong_tensor(decoder: Any) -> bool:
    """Whether a `SamHQMaskDecoder` upscales something else than its transformer's output.

    transformers 5.24 upscales the transformer's input with rows and columns swapped: scores are
    right, masks are not. Found by running the decoder once on small made-up features.
    """
    seen: dict[str, Tensor] = {}
    hooks = [
        decoder.transformer.register_forward_hook(
            lambda _module, _given, found: seen.__setitem__("right", found[1])
        ),
        decoder.upscale_conv1.register_forward_pre_hook(
            lambda _module, given: seen.__setitem__("taken", given[0])
        ),
    ]
    generator = torch.Generator().manual_seed(0)

    def made_up(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    width, side = decoder.hidden_size, 4
    try:
        with torch.no_grad():
            decoder(
                image_embeddings=made_up(1, width, side, side),
                image_positional_embeddings=made_up(1, width, side, side),
                sparse_prompt_embeddings=made_up(1, 1, 2, width),
                dense_prompt_embeddings=made_up(1, width, side, side),
                multimask_output=False,
                hq_token_only=False,
                intermediate_embeddings=[
                    made_up(1, side, side, decoder.compress_vit_conv1.in_channels)
                ],
            )
    finally:
        for hook in hooks:
            hook.remove()
    return not torch.equal(seen["taken"], _as_map(seen["right"], seen["taken"]))


def upscale_transformed(decoder: Any) -> None:
    """Have a `SamHQMaskDecoder` upscale its transformer's output, by hooks on its layers."""
    kept: list[Tensor] = []

    def keep(_module: Any, _given: Any, found: Any) -> None:
        kept[:] = [found[1]]

    def replace(_module: Any, given: tuple[Tensor, ...]) -> tuple[Tensor]:
        return (_as_map(kept.pop(), given[0]),)

    decoder.transformer.register_forward_hook(keep)
    decoder.upscale_conv1.register_forward_pre_hook(replace)


def _as_map(tokens: Tensor, like: Tensor) -> Tensor:
    """(B, P, h * w, C) tokens of an image as a (B * P, C, h, w) map."""
    return tokens.transpose(2, 3).reshape(like.shape)
