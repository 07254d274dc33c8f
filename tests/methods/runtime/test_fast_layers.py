import pytest
import torch
from torch import nn
from torch.nn import functional

from isegbench.methods.runtime import fast_layers
from isegbench.methods.runtime.fast_layers import Pointwise, pointwise, replace_slow


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("wanted", [(0,), (1,), (0, 1, 2)])
def test_pointwise_is_a_convolution_with_its_gradients(one_thread, stride, biased, wanted):
    torch.manual_seed(1)
    given = [torch.randn(2, 5, 7, 9), torch.randn(3, 5, 1, 1), torch.randn(3) if biased else None]
    wanted = [given[k] for k in wanted if given[k] is not None]
    for tensor in wanted:
        tensor.requires_grad_()
    found, expected = pointwise(*given, stride), functional.conv2d(*given, stride)
    torch.testing.assert_close(found, expected)
    pull = torch.randn_like(expected)
    pairs = zip(*(torch.autograd.grad(y, wanted, pull) for y in (found, expected)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_maxima_are_the_same_and_so_is_the_layout(layout):
    pool = nn.Sequential(nn.MaxPool2d(3, stride=2, padding=1))
    x = torch.randn(2, 8, 13, 18).contiguous(memory_format=layout)
    expected = pool(x)
    replace_slow(pool)
    found = pool(x)
    assert isinstance(pool[0], fast_layers._MaxPool)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=layout)


def test_pointwise_without_onednn_or_in_another_precision(monkeypatch):
    x, weight = torch.randn(1, 4, 3, 3), torch.randn(2, 4, 1, 1)
    expected = functional.conv2d(x.double(), weight.double())
    torch.testing.assert_close(pointwise(x.double(), weight.double()), expected)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    monkeypatch.delattr(torch, "mkldnn_convolution")
    torch.testing.assert_close(pointwise(x, weight), expected.float())


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_wide_convolutions_are_the_same_and_so_is_the_layout(layout):
    conv = nn.Sequential(nn.Conv2d(8, 6, 3, padding=12, dilation=12))
    x = torch.randn(2, 8, 13, 18).contiguous(memory_format=layout).requires_grad_()
    expected, parameters = conv(x), list(conv.parameters())
    replace_slow(conv)
    found = conv(x)
    assert isinstance(conv[0], fast_layers._Wide)
    assert all(one is other for one, other in zip(conv.parameters(), parameters, strict=True))
    torch.testing.assert_close(found, expected)
    assert found.is_contiguous(memory_format=layout)
    pull = torch.randn_like(expected)
    gradients = (torch.autograd.grad(y, x, pull)[0] for y in (found, expected))
    torch.testing.assert_close(*gradients)


def test_leaves_other_convolutions_alone():
    kept = nn.Sequential(
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, padding=11, dilation=11),
        nn.Conv2d(4, 4, 1, groups=2),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, stride=(1, 2)),
    )
    inside = nn.Sequential(kept, nn.Conv2d(4, 4, 1))
    replace_slow(inside)
    assert all(type(conv) is nn.Conv2d for conv in kept)
    assert isinstance(inside[1], Pointwise)
