"""The networks give what the released ones gave, from the same checkpoint."""

import json

import numpy as np
import pytest
import torch
from formula import formula_state
from golden_runs import GOLDENS
from skimage.data import astronaut

from isegbench.methods.nets.click_maps import points_tensor
from isegbench.methods.nets.click_network import ClickNetwork, normalise
from isegbench.methods.nets.isegm_models import fbrs_network, fill, ritm_network

MODELS = sorted(path.name for path in GOLDENS.iterdir() if path.name[:4] in ("fbrs", "ritm"))
#: Of the logits: what other thread counts and other builds of torch may differ by.
TOLERANCE = 5e-4


def load(model: str) -> ClickNetwork:
    directory = GOLDENS / model
    state = formula_state(directory)
    if model.startswith("fbrs"):
        network = fbrs_network(state)
    else:
        network = ritm_network(json.loads((directory / "config.json").read_text()))
    assert set(network.state_dict()) == set(state)
    fill(network, state, model)
    return network.eval()


def image_tensor(model: str, image: np.ndarray, previous: np.ndarray) -> torch.Tensor:
    rgb = torch.tensor(image).permute(2, 0, 1)[None].float().div(255)
    if model.startswith("fbrs"):
        return normalise(rgb)
    return torch.cat([rgb, torch.tensor(previous)[None, None]], dim=1)


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(got - expected) / np.linalg.norm(expected))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_portable_logits(model):
    rows, columns = np.mgrid[:384, :512]
    distance = np.hypot(rows - 200, columns - 240)
    previous = (1 / (1 + np.exp(-(120 - distance) / 20))).astype(np.float32)
    clicks = [(130.0, 220.0, True), (300.5, 250.25, True), (50.0, 60.0, False)]
    image = image_tensor(model, astronaut()[:384], previous)
    logits = load(model)(image, points_tensor([clicks]))
    expected = np.load(GOLDENS / model / "portable.npz")["logits"]
    assert logits.shape == (1, 1, 384, 512)
    assert relative_error(logits[0, 0, ::8, ::8].numpy(), expected) < TOLERANCE


@pytest.mark.goldens
@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_logits_and_click_maps_on_real_images(model, shared):
    network = load(model)
    files = sorted(shared("goldens", model).glob("forward_*.npz"))
    assert files
    for file in files:
        golden = np.load(file)
        previous = golden["prev_mask"] if "prev_mask" in golden else np.empty(0)
        image = image_tensor(model, golden["image_u8"], previous)
        points = torch.tensor(golden["points"])[None, :, :2]
        _, maps = network.inputs(image, points)
        if "coord_maps_sub4" in golden:
            np.testing.assert_allclose(maps[..., ::4, ::4], golden["coord_maps_sub4"], atol=1e-6)
        else:
            packed = np.packbits(maps[:, -2:].numpy().astype(np.uint8))
            np.testing.assert_array_equal(packed, golden["coord_features_pos_neg"])
        error = relative_error(network(image, points).numpy(), golden["logits"])
        print(f"{model} {file.stem}: relative error {error:.1e}")
        assert error < TOLERANCE
