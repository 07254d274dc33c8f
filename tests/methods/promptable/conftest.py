"""Small models with made-up weights, as transformers saves them."""

import pytest
import torch

transformers = pytest.importorskip("transformers")

SIDE = 64
_PROMPT = {"hidden_size": 32, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 16}
_DECODER = {
    "hidden_size": 32,
    "mlp_dim": 64,
    "num_attention_heads": 2,
    "iou_head_hidden_dim": 32,
}
_VIT = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "window_size": 2,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
    "mlp_dim": 64,
}
_LEVELS = [[16, 16], [8, 8], [4, 4]]


def _plain(config, model, **more):
    return model(
        config(
            vision_config=_VIT,
            prompt_encoder_config=_PROMPT,
            mask_decoder_config=_DECODER | more,
        )
    )


def _sam2(config, model, **more):
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=16,
        image_size=[SIDE, SIDE],
        blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[16, 32, 64, 128],
        window_size_per_stage=[4, 4, 2, 2],
        global_attention_blocks=[3],
    )
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone,
        backbone_channel_list=[128, 64, 32, 16],
        backbone_feature_sizes=_LEVELS,
        fpn_hidden_size=32,
    )
    return model(
        config(
            vision_config=vision,
            prompt_encoder_config=_PROMPT,
            mask_decoder_config=_DECODER,
            **more,
        )
    )


def _edgetam():
    pytest.importorskip("timm")
    backbone = transformers.TimmWrapperConfig(
        architecture="repvit_m1",
        model_args={"in_chans": 3, "features_only": True, "out_indices": [0, 1, 2, 3]},
    )
    vision = transformers.EdgeTamVisionConfig(
        backbone_config=backbone, backbone_feature_sizes=_LEVELS, fpn_hidden_size=32
    )
    config = transformers.EdgeTamConfig(
        vision_config=vision, prompt_encoder_config=_PROMPT, mask_decoder_config=_DECODER
    )
    return transformers.EdgeTamModel(config)


def _sam3():
    vision = {
        "model_type": "sam3_vision_model",
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 56,
            "pretrain_image_size": 28,
            "window_size": 2,
            "global_attn_indexes": [1],
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": _LEVELS,
    }
    config = transformers.Sam3TrackerConfig(
        vision_config=vision,
        prompt_encoder_config=_PROMPT | {"image_size": 56, "patch_size": 14},
        mask_decoder_config=_DECODER,
    )
    return transformers.Sam3TrackerModel(config)


_MADE = {
    "sam": lambda: _plain(transformers.SamConfig, transformers.SamModel),
    "sam-hq": lambda: _plain(transformers.SamHQConfig, transformers.SamHQModel, vit_dim=32),
    "sam2": lambda: _sam2(transformers.Sam2Config, transformers.Sam2Model),
    "edgetam": _edgetam,
    "sam3": _sam3,
}


def filled(model):
    """The model with weights that neither vanish nor grow, the same each time."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim >= 2:
            spread = (1 / parameter[0].numel()) ** 0.5
            parameter.data.normal_(0, max(spread, 0.1), generator=generator)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """`saved(kind)`: the folder of a small model, which stays the same."""
    folders = {}

    def save(kind):
        if kind not in folders:
            folders[kind] = str(tmp_path_factory.mktemp(kind))
            filled(_MADE[kind]()).save_pretrained(folders[kind])
        return folders[kind]

    return save
