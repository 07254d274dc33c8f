import pytest
import torch
from torch import nn
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import Bottleneck, ResNet

from isegbench.methods.nets.dilated_resnet import DilatedResNet


def same_features(ours, theirs, x):
    """Load torchvision's weights and compare the output of layer4."""
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    ours.load_state_dict(state)
    ours.eval()
    theirs.eval()
    with torch.inference_mode():
        expected = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(x))))
        for stage in (theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4):
            expected = stage(expected)
        return torch.equal(ours(x), expected)


@pytest.fixture
def picture():
    return torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("depth", "build"), [(18, resnet18), (50, resnet50)])
def test_without_changes_it_is_torchvisions(depth, build, picture):
    assert same_features(DilatedResNet(depth), build(), picture)


def test_dilation_in_place_of_stride_is_torchvisions(picture):
    theirs = ResNet(Bottleneck, [3, 4, 6, 3], replace_stride_with_dilation=[False, True, True])
    ours = DilatedResNet(50, strides={3: 1, 4: 1}, dilations={3: (1, 2), 4: (2, 4)})
    assert same_features(ours, theirs, picture)


def test_caffe_blocks_stride_in_their_first_convolution():
    """A 1x1 convolution with stride 2 sees every second pixel only."""
    net = DilatedResNet(50, stride_on="1x1").eval()
    x = torch.randn(1, 256, 8, 8)
    others = x.clone()
    others[..., 1::2, :] = 7.0
    others[..., :, 1::2] = 7.0
    with torch.inference_mode():
        assert torch.equal(net.layer2[0](x), net.layer2[0](others))
        # The identity of torchvision's order: its 3x3 convolution sees all of them.
        plain = DilatedResNet(50).eval()
        assert not torch.equal(plain.layer2[0](x), plain.layer2[0](others))


@pytest.mark.parametrize("depth", [18, 50])
def test_a_multi_grid_reaches_as_far_as_its_dilations(depth):
    net = DilatedResNet(depth, strides={4: 1}, dilations={4: (2, 4, 8)})
    spatial = [
        m.dilation[0]
        for m in net.layer4.modules()
        if isinstance(m, nn.Conv2d) and m.kernel_size[0] == 3
    ]
    assert spatial == ([2, 4, 8] if depth == 50 else [2, 2, 4, 4])
    with torch.inference_mode():
        assert net(torch.randn(1, 3, 64, 64)).shape[-2:] == (4, 4)


def test_more_channels_come_in_and_all_features_come_out():
    net = DilatedResNet(18, in_channels=5)
    with torch.inference_mode():
        found = net.features(torch.randn(2, 5, 64, 64))
    assert [f.shape[1] for f in found] == list(net.channels)
    assert [f.shape[-1] for f in found] == [32, 16, 8, 4, 2]
