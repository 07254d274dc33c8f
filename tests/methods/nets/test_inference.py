"""What `ready` may change in a network, and what not."""

import pytest
import torch
from golden_runs import GOLDENS, write_checkpoint
from torch import nn

from isegbench.methods import click_method, dextr
from isegbench.methods.fbrs import FBRS
from isegbench.methods.nets.inference import ready
from isegbench.methods.ritm import RITM

CPU = torch.device("cpu")


class Block(nn.Module):
    """A residual block whose second norm stands before its convolution's activation."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
        self.bn2 = nn.BatchNorm2d(3)

    def forward(self, x):
        return x + self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))


def trained(network):
    """Statistics and weights as a training leaves them: none zero or one."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for name in ("weight", "bias", "running_mean", "running_var"):
                values = torch.rand(module.num_features, generator=generator) + 0.5
                getattr(module, name).data.copy_(values)
    return network.eval()


def test_norms_become_part_of_convolutions_and_nothing_else_changes():
    network = trained(nn.Sequential(Block(), nn.ReLU(), nn.BatchNorm2d(3), nn.Conv2d(3, 2, 1)))
    x = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = network(x)
        found = ready(network, CPU)(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # The norm behind a whole Sequential and the one behind an activation stay.
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 2
    assert not any(p.requires_grad for p in network.parameters())
    assert not network.training


@pytest.mark.parametrize(
    ("build", "model", "module"),
    [(RITM, "ritm_hrnet18s", click_method), (FBRS, "fbrs_resnet34_dh128", click_method)],
)
def test_click_networks_answer_as_before(build, model, module, tmp_path, monkeypatch):
    weights = str(write_checkpoint(GOLDENS / model, tmp_path / "weights.pth"))
    options = {"device": "cpu", "mode": "NoBRS"}
    fast = build(weights, **options).network
    monkeypatch.setattr(module, "ready", lambda network, device: network.eval())
    plain = build(weights, **options).network
    image = torch.rand(2, 4 if plain.sees_previous else 3, 96, 128)
    points = torch.tensor([[[40.0, 50.0], [-1, -1]], [[20.0, 30.0], [60.5, 100.0]]])
    with torch.no_grad():
        expected, found = plain(image, points.double()), fast(image, points.double())
    # Another number of threads moves f-BRS's logits by 8e-5 and RITM's by 3e-5.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=4e-4)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in n.modules()) for n in (plain, fast)]
    assert norms[1] < norms[0] / 10


def test_brs_keeps_the_network_as_it_was_loaded(tmp_path):
    weights = str(write_checkpoint(GOLDENS / "fbrs_resnet34_dh128", tmp_path / "weights.pth"))
    network = FBRS(weights, mode="f-BRS-B", device="cpu").network
    assert isinstance(network.feature_extractor.backbone.bn1, nn.BatchNorm2d)


def test_dextr_answers_as_before(tmp_path, monkeypatch):
    weights = str(write_checkpoint(GOLDENS / "dextr_r101", tmp_path / "weights.pth"))
    fast = dextr.DEXTR(weights, device="cpu").network
    monkeypatch.setattr(dextr, "ready", lambda network, device: network.eval())
    plain = dextr.DEXTR(weights, device="cpu").network
    x = 255 * torch.rand(1, 4, 128, 128)
    with torch.no_grad():
        expected, found = plain(x), fast(x)
    error = float((found - expected).norm() / expected.norm())
    assert error < 1e-5
