"""Original checkpoints of SAM and its kin as transformers names and arranges their weights.

The architecture is read off the keys and shapes, whatever the file is called.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from ...harness.errors import UserError

Family = Literal["sam", "mobile-sam", "sam-hq", "sam2", "edgetam", "sam3"]
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Original:
    """An original checkpoint, translated.

    vision, prompt, decoder: keyword arguments of the family's transformers configurations; for
    SAM 2 vision has those of the backbone under `backbone`. state: by transformers' keys.
    """

    family: Family
    state: dict[str, Tensor]
    vision: dict[str, Any] = field(default_factory=dict)
    prompt: dict[str, Any] = field(default_factory=dict)
    decoder: dict[str, Any] = field(default_factory=dict)


def translated(checkpoint: Mapping[str, Any], what: str) -> Original:
    """What an original checkpoint holds: a state dict, alone or under `model` or `state_dict`.

    what: how errors call it. Raises UserError when it is of no known kind.
    """
    state = _Weights(_tensors(checkpoint), what)
    if "image_encoder.trunk.patch_embed.proj.weight" in state:
        return _sam2(state)
    if "image_encoder.patch_embed.seq.0.c.weight" in state:
        if "mask_decoder.hf_token.weight" in state:
            raise UserError(f"{what} is HQ-SAM with a TinyViT (vit_tiny), which is not supported")
        return _mobile_sam(state)
    if "image_encoder.pos_embed" in state:
        return _sam(state)
    if any(key.startswith("vision_encoder.") for key in state):
        raise UserError(
            f"{what} has transformers' keys: give the folder that holds it with its config.json"
        )
    raise UserError(
        f"{what} is no checkpoint of SAM, HQ-SAM, MobileSAM or SAM 2; its keys: "
        f"{', '.join(list(state)[:4])}, ..."
    )


class _Weights(dict[str, Tensor]):
    """A state dict that raises UserError for a missing entry."""

    def __init__(self, state: State, what: str) -> None:
        super().__init__(state)
        self.what = what

    def __missing__(self, key: str) -> Tensor:
        raise UserError(f"{self.what} does not fit: {key} is missing")

    def shape(self, key: str) -> tuple[int, ...]:
        return tuple(self[key].shape)


def _tensors(checkpoint: Mapping[str, Any]) -> State:
    for name in ("model", "state_dict"):
        inner = checkpoint.get(name)
        if isinstance(inner, Mapping):
            checkpoint = inner
    return {key: value for key, value in checkpoint.items() if isinstance(value, Tensor)}


_MLP = r"(output_hypernetworks_mlps\.\d+|iou_prediction_head|pred_obj_score_head|hf_mlp)\.layers"

#: Of the prompt encoder and the mask decoder, in every family; applied one after the other.
_RENAMED = (
    (r"\bpoint_embeddings\.", "point_embed."),
    (r"\bmask_downscaling\.0\.", "mask_embed.conv1."),
    (r"\bmask_downscaling\.1\.", "mask_embed.layer_norm1."),
    (r"\bmask_downscaling\.3\.", "mask_embed.conv2."),
    (r"\bmask_downscaling\.4\.", "mask_embed.layer_norm2."),
    (r"\bmask_downscaling\.6\.", "mask_embed.conv3."),
    (r"\bpe_layer\.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"),
    (r"(transformer\.layers\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"transformer\.norm_final_attn\.", "transformer.layer_norm_final_attn."),
    (r"\boutput_upscaling\.0\.", "upscale_conv1."),
    (r"\boutput_upscaling\.1\.", "upscale_layer_norm."),
    (r"\boutput_upscaling\.3\.", "upscale_conv2."),
    (_MLP + r"\.0\.", r"\1.proj_in."),
    (_MLP + r"\.1\.", r"\1.layers.0."),
    (_MLP + r"\.2\.", r"\1.proj_out."),
    # HQ-SAM's own
    (r"\bhf_token\.", "hq_token."),
    (r"\bhf_mlp\.", "hq_mask_mlp."),
    (r"\bcompress_vit_feat\.0\.", "compress_vit_conv1."),
    (r"\bcompress_vit_feat\.1\.", "compress_vit_norm."),
    (r"\bcompress_vit_feat\.3\.", "compress_vit_conv2."),
    (r"\bembedding_encoder\.0\.", "encoder_conv1."),
    (r"\bembedding_encoder\.1\.", "encoder_norm."),
    (r"\bembedding_encoder\.3\.", "encoder_conv2."),
    (r"\bembedding_maskfeature\.0\.", "mask_conv1."),
    (r"\bembedding_maskfeature\.1\.", "mask_norm."),
    (r"\bembedding_maskfeature\.3\.", "mask_conv2."),
)
_RENAMED_VIT = (
    (r"^image_encoder\.", "vision_encoder."),
    (r"^vision_encoder\.patch_embed\.proj\.", "vision_encoder.patch_embed.projection."),
    (r"^vision_encoder\.blocks\.(\d+)\.norm(\d)\.", r"vision_encoder.layers.\1.layer_norm\2."),
    (r"^vision_encoder\.blocks\.", "vision_encoder.layers."),
    (r"^vision_encoder\.neck\.0\.", "vision_encoder.neck.conv1."),
    (r"^vision_encoder\.neck\.1\.", "vision_encoder.neck.layer_norm1."),
    (r"^vision_encoder\.neck\.2\.", "vision_encoder.neck.conv2."),
    (r"^vision_encoder\.neck\.3\.", "vision_encoder.neck.layer_norm2."),
)
_RENAMED_HIERA = (
    (r"^no_mem_embed$", "no_memory_embedding"),
    (r"^sam_(prompt_encoder|mask_decoder)\.", r"\1."),
    (r"^image_encoder\.trunk\.", "vision_encoder.backbone."),
    (r"^image_encoder\.neck\.convs\.(\d+)\.conv\.", r"vision_encoder.neck.convs.\1."),
    (r"\bbackbone\.patch_embed\.proj\.", "backbone.patch_embed.projection."),
    (r"(backbone\.blocks\.\d+)\.norm(\d)\.", r"\1.layer_norm\2."),
    (r"\bmlp\.layers\.0\.", "mlp.proj_in."),
    (r"\bmlp\.layers\.1\.", "mlp.proj_out."),
    (r"(transformer\..*attn.*)\.out_proj\.", r"\1.o_proj."),
)
#: Of the video model, none of which an image needs.
_VIDEO = r"(memory_|maskmem_|mask_downsample|no_mem_pos_enc|no_obj_|obj_ptr_)"


def _renamed(state: State, rules: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    found = {}
    for key, value in state.items():
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        found[key] = value
    shared = "shared_embedding.positional_embedding"
    if f"prompt_encoder.{shared}" in found:
        position = found[f"prompt_encoder.{shared}"]
        found["shared_image_embedding.positional_embedding"] = position
    return found


def _prompting(state: _Weights, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings of the prompt encoder and of the mask decoder, where shapes show them."""
    width = state.shape(f"{prefix}prompt_encoder.no_mask_embed.weight")[1]
    channels = state.shape(f"{prefix}prompt_encoder.mask_downscaling.3.weight")[0]
    decoder = f"{prefix}mask_decoder."
    inner = "transformer.layers.0.mlp." + ("layers.0" if prefix else "lin1") + ".weight"
    return {"hidden_size": width, "mask_input_channels": channels}, {
        "hidden_size": width,
        "mlp_dim": state.shape(decoder + inner)[0],
        "iou_head_hidden_dim": state.shape(decoder + "iou_prediction_head.layers.0.weight")[0],
        "num_multimask_outputs": state.shape(decoder + "mask_tokens.weight")[0] - 1,
    }


def _sam(state: _Weights) -> Original:
    """SAM or HQ-SAM with a plain vision transformer, of any size."""
    width, _, patch, _ = state.shape("image_encoder.patch_embed.proj.weight")
    grid = state.shape("image_encoder.pos_embed")[1]
    layers = 1 + max(_numbers(state, r"image_encoder\.blocks\.(\d+)\."))
    reach = [
        state.shape(f"image_encoder.blocks.{i}.attn.rel_pos_h")[0] // 2 + 1 for i in range(layers)
    ]
    windows = {side for side in reach if side != grid}
    prompt, decoder = _prompting(state, "")
    sizes = {"image_size": grid * patch, "patch_size": patch}
    vision = {
        **sizes,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // state.shape("image_encoder.blocks.0.attn.rel_pos_h")[1],
        "mlp_dim": state.shape("image_encoder.blocks.0.mlp.lin1.weight")[0],
        "window_size": min(windows, default=14),
        "global_attn_indexes": [i for i, side in enumerate(reach) if side == grid],
        "output_channels": state.shape("image_encoder.neck.0.weight")[0],
        "num_pos_feats": prompt["hidden_size"] // 2,
    }
    family: Family = "sam"
    if "mask_decoder.hf_token.weight" in state:
        family, decoder["vit_dim"] = "sam-hq", width
    renamed = _renamed(state, _RENAMED_VIT + _RENAMED)
    return Original(family, renamed, vision, prompt | sizes, decoder)


def _mobile_sam(state: _Weights) -> Original:
    """MobileSAM. The classifier that its encoder was pretrained with is left out."""
    prompt, decoder = _prompting(state, "")
    unused = ("image_encoder.norm_head.", "image_encoder.head.")
    kept = {key: value for key, value in state.items() if not key.startswith(unused)}
    renamed = _renamed(kept, ((r"^image_encoder\.", "vision_encoder."), *_RENAMED))
    vision = {"num_pos_feats": prompt["hidden_size"] // 2}
    return Original("mobile-sam", renamed, vision, prompt, decoder)


#: Heads of the first stage, blocks that attend globally, and windows of the stages, by width and
#: number of blocks: tiny, small, base plus, large (the configurations of SAM 2's repository).
_HIERA = {
    (96, 12): (1, [5, 7, 9], [8, 4, 14, 7]),
    (96, 16): (1, [7, 10, 13], [8, 4, 14, 7]),
    (112, 24): (2, [12, 16, 20], [8, 4, 14, 7]),
    (144, 48): (2, [23, 33, 43], [8, 4, 16, 8]),
}


def _sam2(state: _Weights) -> Original:
    trunk = "image_encoder.trunk."
    blocks = 1 + max(_numbers(state, r"image_encoder\.trunk\.blocks\.(\d+)\."))
    widths = [state.shape(f"{trunk}blocks.{i}.attn.proj.weight")[0] for i in range(blocks)]
    stages = sorted(set(widths))
    if (stages[0], blocks) not in _HIERA:
        raise UserError(
            f"{state.what}: a Hiera encoder of width {stages[0]} with {blocks} blocks is none of "
            "SAM 2's (tiny, small, base plus, large)"
        )
    heads, attend_globally, windows = _HIERA[stages[0], blocks]
    backbone = {
        "hidden_size": stages[0],
        "num_attention_heads": heads,
        "blocks_per_stage": [widths.count(width) for width in stages],
        "embed_dim_per_stage": stages,
        "num_attention_heads_per_stage": [heads * width // stages[0] for width in stages],
        "window_size_per_stage": windows,
        "global_attention_blocks": attend_globally,
        "window_positional_embedding_background_size": list(state.shape(f"{trunk}pos_embed")[2:]),
    }
    prompt, decoder = _prompting(state, "sam_")
    kept = {key: value for key, value in state.items() if not re.match(_VIDEO, key)}
    renamed = _renamed(kept, _RENAMED_HIERA + _RENAMED)
    points = [renamed.pop(f"prompt_encoder.point_embed.{i}.weight") for i in range(4)]
    renamed["prompt_encoder.point_embed.weight"] = torch.cat(points)
    vision = {"backbone": backbone, "backbone_channel_list": stages[::-1]}
    return Original("sam2", renamed, vision, prompt, decoder)


def _numbers(state: State, pattern: str) -> list[int]:
    return [int(found[1]) for key in state if (found := re.match(pattern, key))]
