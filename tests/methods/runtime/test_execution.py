import copy

import pytest
import torch
from torch import nn

from isegbench.methods.runtime.execution import Execution

CPU = torch.device("cpu")


@pytest.mark.parametrize("last", [True, False])
def test_computes_what_the_network_as_loaded_computes(network, one_thread, last):
    x = torch.randn(2, 3, 64, 96)
    plain = copy.deepcopy(network).eval()
    made = Execution(CPU).ready(network, channels_last=last)
    with torch.inference_mode():
        expected, found = plain.features(x), made.features(x)
    assert expected.std() > 0.1
    if last:
        assert (found - expected).norm() < 1e-6 * expected.norm()
    else:
        assert torch.equal(found, expected)


def test_keeps_the_state_dict_and_wants_no_gradients(network):
    expected = {key: value.clone() for key, value in network.state_dict().items()}
    found = Execution(CPU).ready(network).state_dict()
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(("precision", "bits"), [("bfloat16", 8), ("float16", 11)])
def test_low_precision_computes_nearly_the_same(network, precision, bits):
    x = torch.randn(1, 3, 64, 96)
    execution = Execution(CPU, precision)
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
    [(None, True, True), (None, False, False), (True, False, True), (False, True, False)],
)
def test_channels_last_where_it_is_usual_or_asked_for(network, asked, usual, last):
    execution = Execution.of("cpu", "float32", False, asked)
    weight = execution.ready(network, channels_last=usual).conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last) == last
