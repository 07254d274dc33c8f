import numpy as np
import torch
from torch import nn
from torch.nn import functional

from isegbench.methods.nets.weight_standardisation import StandardisedConv2d, standardise


def test_kernels_have_mean_zero_and_unbiased_deviation_one():
    torch.manual_seed(0)
    conv = StandardisedConv2d(3, 4, 3, padding=2, dilation=2, stride=2)
    x = torch.randn(2, 3, 9, 8)
    kernel = conv.weight.detach().numpy().astype(float)
    kernel = kernel - kernel.mean((1, 2, 3), keepdims=True)
    kernel = kernel / (kernel.std((1, 2, 3), ddof=1, keepdims=True) + 1e-5)
    weight = torch.from_numpy(kernel.astype(np.float32))
    expected = functional.conv2d(x, weight, conv.bias, stride=2, padding=2, dilation=2)
    torch.testing.assert_close(conv(x), expected, rtol=1e-4, atol=1e-5)


def test_standardising_a_module_keeps_geometry_and_names():
    module = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Sequential(nn.Conv2d(2, 3, 1)))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    standardise(module)
    assert isinstance(module[0], StandardisedConv2d)
    assert isinstance(module.get_submodule("1.0"), StandardisedConv2d)
    assert module[0].padding == (1, 1)
    after = module.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
