import copy

import pytest
import torch
from torch import nn

from isegbench.methods.nets.dilated_resnet import DilatedResNet
from isegbench.methods.nets.gluon_resnet import GluonResNet
from isegbench.methods.nets.hrnet import HRNet
from isegbench.methods.runtime import onednn_stages
from isegbench.methods.runtime.fast_layers import replace_slow
from isegbench.methods.runtime.onednn_stages import keep_in_blocks

NETWORKS = {
    "basic blocks": lambda: GluonResNet(34),
    "bottlenecks": lambda: DilatedResNet(
        50, strides={3: 1, 4: 1}, dilations={3: (2,), 4: (2, 4, 8)}, stride_on="1x1"
    ),
    "narrow branches": lambda: HRNet(width=18, small=True),
}


def outputs(network, x):
    with torch.no_grad():
        found = network.features(x) if hasattr(network, "features") else network(x)
    return list(found) if isinstance(found, (list, tuple)) else [found]


def in_blocks(network):
    return [
        m
        for m in network.modules()
        if isinstance(m.__dict__.get("forward"), onednn_stages._InBlocks)
    ]


@pytest.fixture
def stages(as_trained):
    """`stages(made)`: a network with the fast layers, and a copy that keeps features in blocks."""

    def make(made):
        plain = as_trained(made)
        replace_slow(plain)
        kept = copy.deepcopy(plain)
        keep_in_blocks(kept)
        if not in_blocks(kept):
            pytest.skip(
                "on this processor another bit would come out, so nothing is kept in blocks"
            )
        return plain, kept

    return make


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("made", NETWORKS.values(), ids=NETWORKS)
def test_not_a_bit_changes(stages, one_thread, made, threads):
    plain, kept = stages(made())
    torch.set_num_threads(threads)
    x = torch.randn(2, 3, 101, 131)
    for one, other in zip(outputs(kept, x), outputs(plain, x), strict=True):
        assert other.std() > 0.01
        assert torch.equal(one, other)
        assert one.layout == other.layout
        assert one.stride() == other.stride()


def test_the_stages_of_a_network_are_kept_and_nothing_else_of_it_changes(stages):
    plain, kept = stages(GluonResNet(34))
    assert in_blocks(kept) == [kept.layer1, kept.layer2, kept.layer3, kept.layer4]
    assert [type(m) for m in kept.modules()] == [type(m) for m in plain.modules()]
    assert list(kept.state_dict()) == list(plain.state_dict())
    for one, other in zip(kept.state_dict().values(), plain.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_gradients_flow_as_before(stages):
    plain, kept = stages(GluonResNet(34))
    gradients = []
    for network in (plain, kept):
        x = torch.linspace(-1, 1, 2 * 64 * 9 * 12).view(2, 64, 9, 12).requires_grad_()
        gradients.append(torch.autograd.grad(network.layer2(x).square().sum(), x)[0])
    assert gradients[0].abs().sum() > 0
    assert torch.equal(*gradients)


def test_low_precision_stays_low(stages):
    plain, kept = stages(GluonResNet(34))
    x = torch.randn(2, 64, 9, 12)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        found, expected = kept.layer1(x), plain.layer1(x)
    assert torch.equal(found, expected)
    assert not torch.equal(found.float(), outputs(plain.layer1, x)[0])


def test_a_stage_that_would_give_another_bit_is_left_alone(as_trained, monkeypatch):
    scale = onednn_stages._Normalisation.forward
    monkeypatch.setattr(
        onednn_stages._Normalisation, "forward", lambda self, x: scale(self, x) * (1 + 2**-22)
    )
    network = as_trained(GluonResNet(34))
    replace_slow(network)
    keep_in_blocks(network)
    assert not in_blocks(network)


def test_a_stage_with_other_layers_is_left_alone(as_trained):
    network = as_trained(DilatedResNet(18, norm=lambda n: nn.GroupNorm(2, n)))
    keep_in_blocks(network)
    assert not in_blocks(network)
    keep_in_blocks(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU()))


def test_without_onednn_nothing_happens(as_trained, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    network = as_trained(GluonResNet(34))
    keep_in_blocks(network)
    assert not in_blocks(network)
