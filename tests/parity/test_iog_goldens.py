"""IOG beside the released code: networks, transforms, points and whole evaluations."""

import numpy as np
import pytest
import skimage.data
import torch
from golden_runs import GOLDENS, formula_state

from isegbench.methods.gaussian_points import gaussian_map
from isegbench.methods.iog.network import IOGNet
from isegbench.methods.iog.refinement import IOGRefineNet
from isegbench.methods.nets.checkpoint import fit

MODELS = {
    "iog_r50": (IOGNet, 50),
    "iog_r101": (IOGNet, 101),
    "iog_refine_r101": (IOGRefineNet, 101),
}


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def network_of(model):
    kind, depth = MODELS[model]
    network = kind(depth)
    fit(network, formula_state(GOLDENS / model), what=model)
    return network.eval()


def outputs(network, x, guidance=None):
    """The five outputs as (h, w) arrays; guidance: of the refinement network."""
    more = [] if isinstance(network, IOGNet) else [torch.from_numpy(guidance)]
    with torch.inference_mode():
        found = network(torch.from_numpy(x), *more)
    return [output[0, 0].numpy() for output in found]


def astronaut():
    """The portable goldens' input."""
    inside = gaussian_map(np.array([[130, 220]]), (512, 512))
    corners = np.array([[10, 60], [10, 420], [505, 60], [505, 420]])
    heat = np.dstack([inside, gaussian_map(corners, (512, 512))])
    heat = 255 * (heat - heat.min()) / (heat.max() - heat.min() + 1e-10)
    stacked = np.dstack([skimage.data.astronaut(), heat])
    return np.ascontiguousarray(stacked.transpose(2, 0, 1)[None], np.float32)


@pytest.mark.parametrize("model", MODELS)
def test_portable_logits(model):
    x = astronaut()
    found = outputs(network_of(model), x, x[:, 3:])
    expected = np.load(GOLDENS / model / "portable.npz")
    step = found[4].shape[0] // 64
    assert relative_error(found[4][::step, ::step], expected["fine"]) < 5e-4
    if "coarse3" in expected:
        assert relative_error(found[3][::step, ::step], expected["coarse3"]) < 5e-4


@pytest.mark.goldens
@pytest.mark.parametrize("image", ["Berkeley_124084", "GrabCut_bush"])
@pytest.mark.parametrize("model", MODELS)
def test_recorded_logits(model, image, shared):
    golden = np.load(shared("goldens", model, f"forward_{image}.npz"))
    found = outputs(network_of(model), golden["input"].astype(np.float32), golden.get("iog_points"))
    assert relative_error(found[4], golden["fine"][0, 0]) < 5e-4
    for level in range(4):
        expected = golden.get(f"coarse{level}")
        coarse = found[level]
        if expected is None:
            expected, coarse = golden[f"coarse{level}_sub4"], coarse[::4, ::4]
        assert relative_error(coarse, expected[0, 0]) < 5e-4, level
