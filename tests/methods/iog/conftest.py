"""Small networks and drawn objects for IOG's tests."""

import numpy as np
import pytest
import torch

from isegbench.harness.types import Instance
from isegbench.methods.iog.checkpoint import save_network
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_refine import IOGRefineNet


def _enliven(net: IOGNet | IOGRefineNet) -> None:
    """Statistics that fit the input, so that nothing saturates; added clicks that matter."""
    inputs = [255 * torch.rand(4, channels, 64, 64) ** 4 for channels in (5, 2)]
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    if isinstance(net, IOGRefineNet):
        with torch.no_grad():
            convolution = net.psp4.bottleneck[0]
            assert isinstance(convolution, torch.nn.Conv2d)
            convolution.weight[:, -net.heads // 4 :] *= 10
    with torch.no_grad():
        net(*inputs[: 1 + isinstance(net, IOGRefineNet)])


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """`checkpoint(IOGNet, side=64)`: the path of a small network's checkpoint."""
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path))

    def write(network: type[IOGNet] | type[IOGRefineNet], side: int = 64, **more) -> str:
        torch.manual_seed(0)
        path = tmp_path / f"{network.kind}-{side}.pth"
        net = network(18, side=side, heads=8)
        _enliven(net)
        save_network(net, path, **more)
        return str(path)

    return write


@pytest.fixture
def disc():
    """`disc(y, x, radius)`: a bright disc on dark noise."""

    def draw(y, x, radius, shape=(90, 120)):
        rows, columns = np.mgrid[: shape[0], : shape[1]]
        mask = (np.hypot(rows - y, columns - x) <= radius).astype(np.uint8)
        noise = np.random.default_rng(0).integers(0, 40, (*shape, 3))
        image = (noise + 200 * mask[..., None]).astype(np.uint8)
        return Instance("discs", "disc", "disc", image, mask)

    return draw
