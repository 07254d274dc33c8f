import json
import re

import pytest
import torch

from isegbench.harness.errors import UserError
from isegbench.methods.promptable.sam_checkpoints import translated
from isegbench.methods.promptable.sam_models import _built

GOLDEN = {
    "sam_vit_b": ("sam", 12),
    "sam_hq_vit_b": ("sam-hq", 12),
    "mobile_sam": ("mobile-sam", None),
    "sam2.1_hiera_tiny": ("sam2", None),
}


@pytest.fixture(params=GOLDEN)
def original(request, shared):
    """An original's state dict without numbers, and what it is."""
    manifest = json.loads(shared("goldens", request.param, "manifest.json").read_text())
    state = {key: torch.zeros(()).expand(shape) for key, (shape, _) in manifest.items()}
    return state, *GOLDEN[request.param]


def test_every_key_and_shape_has_its_place(original):
    """`_built` refuses a key too few or too many, and another shape."""
    state, family, layers = original
    for checkpoint in (state, {"model": state}, {"state_dict": state, "config": {"a": 1}}):
        found = translated(checkpoint, "x.pth")
        assert found.family == family
        assert found.vision.get("num_hidden_layers") == layers
    _built(found, "x.pth")


def test_a_missing_entry_is_named(original):
    state, *_ = original
    (key,) = [k for k in state if re.search(r"mask_decoder\.iou_token", k)]
    del state[key]
    with pytest.raises(UserError, match=r"(?s)x\.pth.*iou_token"):
        _built(translated(state, "x.pth"), "x.pth")
    (key,) = [k for k in state if k.endswith("no_mask_embed.weight")]
    del state[key]
    with pytest.raises(UserError, match=r"x\.pth.*no_mask_embed"):
        translated(state, "x.pth")


def test_others_are_refused():
    weight = torch.zeros(1)
    with pytest.raises(UserError, match=r"give the folder that holds it with its config\.json"):
        translated({"vision_encoder.patch_embed.projection.weight": weight}, "model.safetensors")
    with pytest.raises(UserError, match=r"x\.pth is no checkpoint of SAM"):
        translated({"backbone.weight": weight}, "x.pth")
    light = {
        "image_encoder.patch_embed.seq.0.c.weight": weight,
        "mask_decoder.hf_token.weight": weight,
    }
    with pytest.raises(UserError, match="vit_tiny"):
        translated(light, "x.pth")


@pytest.mark.parametrize(
    ("width", "blocks", "heads", "attend_globally"),
    [
        (96, (1, 2, 7, 2), [1, 2, 4, 8], [5, 7, 9]),
        (96, (1, 2, 11, 2), [1, 2, 4, 8], [7, 10, 13]),
        (112, (2, 3, 16, 3), [2, 4, 8, 16], [12, 16, 20]),
        (144, (2, 6, 36, 4), [2, 4, 8, 16], [23, 33, 43]),
    ],
)
def test_the_four_sizes_of_sam_2(shared, width, blocks, heads, attend_globally):
    """Keys and shapes of the other sizes, made from those of the smallest."""
    manifest = json.loads(shared("goldens", "sam2.1_hiera_tiny", "manifest.json").read_text())
    state = {
        key: torch.zeros(()).expand(shape)
        for key, (shape, _) in manifest.items()
        if not key.startswith("image_encoder.trunk.blocks.")
    }
    state["image_encoder.trunk.patch_embed.proj.weight"] = torch.zeros(1).expand(width, 3, 7, 7)
    state["image_encoder.trunk.pos_embed"] = torch.zeros(1).expand(1, width, 7, 7)
    stages = [width * 2**stage for stage, count in enumerate(blocks) for _ in range(count)]
    for index, wide in enumerate(stages):
        key = f"image_encoder.trunk.blocks.{index}.attn.proj.weight"
        state[key] = torch.zeros(1).expand(wide, wide)
    backbone = translated(state, "x.pt").vision["backbone"]
    assert backbone["blocks_per_stage"] == list(blocks)
    assert backbone["embed_dim_per_stage"] == [width, 2 * width, 4 * width, 8 * width]
    assert backbone["num_attention_heads_per_stage"] == heads
    assert backbone["global_attention_blocks"] == attend_globally
