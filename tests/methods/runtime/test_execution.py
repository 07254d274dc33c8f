import copy

import pytest
import torch
from torch import nn

from isegbench.methods.runtime.execution import Execution, ready


@pytest.mark.parametrize("kernels", ["loaded", "first", "last"])
def test_computes_what_the_network_as_loaded_computes(network, one_thread, kernels):
    x = torch.randn(2, 3, 64, 96)
    plain = copy.deepcopy(network).eval()
    fast = ready(network, torch.device("cpu"), kernels)
    with torch.inference_mode():
        expected = plain.features(x)
        assert expected.std() > 0.1
        assert (fast.features(x) - expected).norm() < 1e-6 * expected.norm()
    layout = torch.channels_last if kernels == "last" else torch.contiguous_format
    assert fast.conv2.weight.is_contiguous(memory_format=layout)


def test_keeps_the_state_dict_and_wants_no_gradients(network):
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    found = ready(network, torch.device("cpu")).state_dict()
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_no_convolution_of_single_pixels_is_left_to_a_matrix_product(network, one_thread):
    """The profiler names what ran; without `ready` the slow one does."""
    x = torch.randn(1, 3, 64, 96)
    assert "aten::_slow_conv2d_forward" in _operations(copy.deepcopy(network).eval(), x)
    assert "aten::_slow_conv2d_forward" not in _operations(
        ready(network, torch.device("cpu")), torch.cat([x, x])
    )


def _operations(network, x):
    with torch.inference_mode(), torch.profiler.profile() as profile:
        network.features(x)
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize(("precision", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_low_precision_computes_nearly_the_same(network, precision, bits):
    x = torch.randn(1, 3, 64, 96)
    execution = Execution(torch.device("cpu"), precision)
    assert precision in execution.departures[0]
    expected = copy.deepcopy(network).eval().features(x)
    network = execution.ready(network)
    with torch.inference_mode(), execution.computing():
        found = network.features(x)
    error = (found.float() - expected).norm() / expected.norm()
    assert 2**-bits / 16 < error < 2**-bits * 16, "computed in low precision, and not wrongly"


def test_float32_says_nothing_and_compiles_what_it_is_told_to(network, monkeypatch):
    compiled = []
    monkeypatch.setattr(torch, "compile", lambda call: compiled.append(call.__name__) or call)
    execution = Execution.of("cpu", "float32", True, None)
    assert execution.departures == ()
    execution.ready(network, ["features"])
    assert compiled == ["features"]
    Execution.of("cpu", "float32", False, None).ready(network, ["features"])
    assert compiled == ["features"]
    x = torch.ones(1, 4, 4, 4)
    with execution.computing():
        assert nn.Conv2d(4, 4, 1)(x).dtype == torch.float32


@pytest.mark.parametrize(
    ("asked", "usual", "last"),
    [
        *((None, "last", True), (None, "first", False), (None, "loaded", False)),
        *((True, "first", True), (True, "loaded", True), (False, "last", False)),
    ],
)
def test_channels_last_where_it_is_usual_or_asked_for(network, asked, usual, last):
    execution = Execution.of("cpu", "float32", False, asked)
    weight = execution.ready(network, kernels=usual).conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == last


def test_on_several_threads_the_kernels_give_the_bits_of_the_network_as_loaded(network, one_thread):
    """And on one thread the bits of several: what is left to a matrix product no longer is."""
    x = torch.randn(2, 3, 64, 96)
    found = []
    for threads, kernels in ((2, "loaded"), (2, "first"), (1, "first")):
        torch.set_num_threads(threads)
        made = ready(copy.deepcopy(network), torch.device("cpu"), kernels)
        with torch.inference_mode():
            found.append(made.features(x))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
