import pytest
import torch
from torch import nn

from isegbench.methods.nets.hrnet import HRNet


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def as_trained():
    """`as_trained(network)`: in evaluation mode, with weights and statistics that keep features
    from growing or vanishing."""

    def fill(network):
        torch.manual_seed(0)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.2, 0.2)
                nn.init.uniform_(module.running_var, 0.5, 2)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.3, 0.3)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        return network.eval().requires_grad_(False)

    return fill


@pytest.fixture
def network(as_trained):
    return as_trained(HRNet(width=4, small=True))
