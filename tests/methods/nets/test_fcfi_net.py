"""FCFI's networks against golden numbers, its correction against a loop over pixels."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from formula import formula_state
from golden_runs import GOLDENS
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.data import astronaut
from torch.nn import functional

from isegbench.harness.errors import UserError
from isegbench.methods.nets.click_maps import points_tensor
from isegbench.methods.nets.fcfi import fcfi_network
from isegbench.methods.nets.fcfi_feedback import CollaborativeFusion, Feedback, FocusedCorrection
from isegbench.methods.nets.isegm_models import fill
from isegbench.methods.nets.resize import resize

HRNET, RESNET = "fcfi_hrnet18s", "fcfi_resnet101"
#: Of the logits: what other thread counts and other builds of torch may differ by.
TOLERANCE = 5e-4


def config_of(model):
    return json.loads((GOLDENS / model / "config.json").read_text())


def load(model):
    state = formula_state(GOLDENS / model)
    network = fcfi_network(config_of(model))
    assert set(network.state_dict()) == set(state)
    fill(network, state, model)
    return network.eval()


@pytest.fixture(scope="module")
def hrnet():
    return load(HRNET)


def image_tensor(image, previous):
    rgb = torch.tensor(image).permute(2, 0, 1)[None].float().div(255)
    return torch.cat([rgb, torch.tensor(previous)[None, None]], dim=1)


def relative_error(got, expected):
    return float(np.linalg.norm(got - expected) / max(np.linalg.norm(expected), 1e-12))


@pytest.mark.slow
@pytest.mark.parametrize("model", [HRNET, RESNET])
@torch.no_grad()
def test_portable_logits(model, request):
    network = request.getfixturevalue("hrnet") if model == HRNET else load(model)
    rows, columns = np.mgrid[:384, :512]
    distance = np.hypot(rows - 200, columns - 240)
    previous = (1 / (1 + np.exp(-(120 - distance) / 20))).astype(np.float32)
    points = points_tensor([[(130.0, 220.0, True), (300.5, 250.25, True), (50.0, 60.0, False)]])
    image = image_tensor(astronaut()[:384], previous)
    logits = network(image, points, torch.tensor([[300, 250, 1]]), torch.ones(1))
    expected = np.load(GOLDENS / model / "portable.npz")["logits"]
    assert logits.shape == (1, 1, 384, 512)
    assert relative_error(logits[0, 0, ::8, ::8].numpy(), expected) < TOLERANCE


@pytest.mark.goldens
@pytest.mark.parametrize("model", [HRNET, RESNET])
@torch.no_grad()
def test_logits_and_masks_on_real_images(model, shared):
    network = load(model)
    files = sorted(shared("goldens", model).glob("forward_*.npz"))
    assert {float(np.load(file)["gate"]) for file in files} == {0.0, 1.0}
    for file in files:
        golden = np.load(file)
        image = image_tensor(golden["image_u8"], golden["prev_mask"])
        logits, corrected, fused = network.attend(
            image,
            torch.tensor(golden["points"])[None, :, :2],
            torch.tensor(golden["new_points"])[:, 0],
            torch.tensor(golden["gate"])[None],
        )
        size = image.shape[2:]
        # The released DeepLab enlarges the corrected mask, for show, without aligning corners.
        corrected = functional.interpolate(
            corrected, size=size, mode="bilinear", align_corners=model == HRNET
        )
        found = {
            "logits": logits,
            "updated_feedback1_sub2": corrected[..., ::2, ::2],
            "updated_feedback2_sub2": resize(fused, size)[..., ::2, ::2],
        }
        for key, value in found.items():
            error = relative_error(value.numpy(), golden[key])
            print(f"{model} {file.stem} {key}: relative error {error:.1e}")
            assert error < TOLERANCE, key


@torch.no_grad()
def test_batch_elements_do_not_see_each_other(hrnet):
    rows, columns = np.mgrid[:96, :128]
    previous = np.exp(-((rows - 40) ** 2 + (columns - 60) ** 2) / 900).astype(np.float32)
    corners = [(20, 150), (200, 30), (300, 300)]
    crops = [astronaut()[y : y + 96, x : x + 128] for y, x in corners]
    image = torch.cat([image_tensor(crop, previous) for crop in crops])
    clicks = [
        [(10.0, 20.0, True)],
        [(50.5, 3.25, True), (90.0, 120.0, False)],
        [(0.0, 127.0, False), (40.0, 40.0, True), (41.0, 90.0, True)],
    ]
    newest = torch.tensor([[10, 20, 1], [90, 120, 0], [41, 90, 1]])
    gate = torch.tensor([0.0, 1.0, 1.0])
    together = hrnet(image, points_tensor(clicks), newest, gate)
    for k in range(3):
        one = slice(k, k + 1)
        alone = hrnet(image[one], points_tensor(clicks[one]), newest[one], gate[one])
        assert (together[one].sigmoid() - alone.sigmoid()).abs().max() < 1e-5


def corrected_by_hand(module, features, aside, feedback, element):
    """The correction of one element as the paper tells it: crop, compare, blend, paste."""
    (full_h, full_w), (h, w) = feedback.previous.shape[2:], features.shape[2:]
    previous = resize(feedback.previous, (h, w))
    encoded = module.info_encoder(torch.cat([resize(aside, (h, w)), previous, features], dim=1))
    y, x, label = feedback.newest[element].tolist()
    spans, at = [], []
    for click, full, size in ((y, full_h, h), (x, full_w, w)):
        reach = int(module.expansion * full / 2 + 0.5)
        low, high = max(click - reach, 0), min(click + reach, full)
        start = math.floor(Fraction(low * size, full))
        spans.append(slice(start, min(math.ceil(Fraction(high * size, full)), size)))
        at.append(math.floor(Fraction(click * size, full)) - start)
    crop = encoded[element, :, spans[0], spans[1]].numpy()
    crop = crop / np.maximum(np.linalg.norm(crop, axis=0), 1e-12)
    likeness = np.einsum("chw,c->hw", crop, crop[:, at[0], at[1]])
    out = previous[element, 0].numpy().copy()
    out[spans[0], spans[1]] *= 1 - likeness
    out[spans[0], spans[1]] += likeness * label
    return out


@settings(max_examples=40, deadline=None)
@given(st.data())
@torch.no_grad()
def test_correction_agrees_with_crop_and_paste(data):
    torch.manual_seed(data.draw(st.integers(0, 9)))
    full = data.draw(st.tuples(st.integers(12, 70), st.integers(12, 70)))
    size = tuple(math.ceil(length / 4) for length in full)
    module = FocusedCorrection(5 + 4 + 1, 6, data.draw(st.sampled_from([0.1, 0.3, 1.0]))).eval()
    click = st.tuples(st.integers(0, full[0] - 1), st.integers(0, full[1] - 1), st.integers(0, 1))
    feedback = Feedback(
        torch.rand(2, 1, *full), torch.tensor([data.draw(click), data.draw(click)]), torch.ones(2)
    )
    features, aside = torch.rand(2, 5, *size), torch.rand(2, 4, *full)
    found = module(features, aside, feedback)
    assert found.shape == (2, 1, *size)
    for element in range(2):
        expected = corrected_by_hand(module, features, aside, feedback, element)
        np.testing.assert_allclose(found[element, 0].numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_a_closed_gate_leaves_the_features_as_they_are():
    module = CollaborativeFusion(5, 6).eval()
    torch.nn.init.constant_(module.residual_predictor.bn.bias, 5.0)
    features, mask = torch.rand(2, 5, 7, 9), torch.rand(2, 1, 7, 9)
    fused, updated = module(features, mask, torch.tensor([0.0, 1.0]))
    assert torch.equal(fused[0], features[0])
    # One residual for all channels.
    residual = fused[1] - features[1]
    torch.testing.assert_close(residual, residual[:1].expand_as(residual))
    assert residual.max() > 0
    assert ((updated > 0) & (updated < 1)).all()


def changed(model, **changes):
    config = config_of(model)
    for key, value in changes.items():
        config["params"][key] = {"type": "builtin", "value": value, "specified": True}
    return config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("update_num", 2),
        ("use_rgb_conv", True),
        ("with_prev_mask", False),
        ("conv_extend", True),
        ("backbone", "vgg"),
        ("mid_ch", "wide"),
        ("mid_ch", -3),
        ("attention", "more"),
    ],
)
def test_a_configuration_that_cannot_be_built_is_refused(key, value):
    with pytest.raises(UserError, match=r"attention|backbone|config|" + key):
        fcfi_network(changed(RESNET, **{key: value}))


def test_a_configuration_of_ritm_is_refused():
    config = config_of("ritm_hrnet18")
    with pytest.raises(UserError, match=r"no FCFI checkpoint: .* mid_ch, expansion_ratio"):
        fcfi_network(config)
