from typing import Any

import pytest
import torch
import torchvision

from isegbench.harness.errors import UserError
from isegbench.methods.iog.checkpoint import (
    initialise_from_imagenet,
    load_network,
    read_checkpoint,
    save_network,
)
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_heads import CoarseNet, FineNet, enlarge
from isegbench.methods.nets.iog_refine import Encoded, IOGRefineNet

SMALL = {"side": 64, "heads": 8}


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def lively(network):
    """Running statistics and biases that are not the neutral ones."""
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval()


def inputs(count=2, side=64):
    x = 255 * torch.rand(count, 5, side, side)
    return x, 255 * torch.rand(count, 2, side, side)


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_sizes_of_the_outputs(depth):
    net = IOGNet(depth, **SMALL).eval()
    x, guidance = inputs(1)
    with torch.inference_mode():
        outputs = net(x)
        smaller = net(x[..., :32, :32])
        refined = IOGRefineNet(depth, **SMALL).eval()(x, guidance)
    assert [tuple(o.shape) for o in outputs] == [(1, 1, 64, 64)] * 5
    assert [tuple(o.shape) for o in smaller] == [(1, 1, 64, 64)] * 5
    assert [tuple(o.shape) for o in refined] == [(1, 1, 16, 16)] * 5


def test_the_fine_prediction_alone_is_the_fifth():
    x, guidance = inputs()
    plain, refining = lively(IOGNet(18, **SMALL)), lively(IOGRefineNet(18, **SMALL))
    with torch.inference_mode():
        torch.testing.assert_close(plain.fine(x), plain(x)[4])
        fine = refining.fine(refining.encode(x), guidance)
        torch.testing.assert_close(fine, enlarge(refining(x, guidance)[4], (64, 64)))


def test_sharing_the_pooling_changes_nothing():
    """Against the ordinary way: join the channels, then pool."""
    net = lively(IOGRefineNet(18, **SMALL))
    features, added = torch.randn(2, 512, 4, 4), torch.randn(2, 2, 4, 4)
    with torch.inference_mode():
        *bins, pooled = net.psp4.share(features)
        found = net.psp4.complete(bins, pooled, added)
        expected = net.psp4(torch.cat([features, added], 1))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_convolving_before_enlarging_changes_nothing():
    """Against the order of the description: enlarge, then convolve."""
    coarse, fine = lively(CoarseNet((6, 5, 4, 3), 8, (16, 16))), lively(FineNet(8, (16, 16)))
    sizes = (4, 4, 8, 16)
    features = [torch.randn(2, c, s, s) for c, s in zip((6, 5, 4, 3), sizes, strict=True)]
    with torch.inference_mode():
        levels = coarse(features)
        laterals = [lat(x) for lat, x in zip(coarse.laterals, features, strict=True)]
        expected = [laterals[0], laterals[0] + laterals[1]]
        for index, size in ((1, 8), (2, 16)):
            upsample = coarse.upsamples[index]
            assert isinstance(upsample, torch.nn.Sequential)
            _, conv, norm = upsample
            below = norm(conv(enlarge(expected[-1], (size, size))))
            expected.append(laterals[index + 1] + below)
        torch.testing.assert_close(levels, expected, rtol=1e-4, atol=1e-5)
        parts = [r(x) for r, x in zip(fine.cascade, levels, strict=True)]
        joined = torch.cat([enlarge(p, (16, 16)) for p in parts], 1)
        torch.testing.assert_close(fine(levels), fine.final_predict(joined), rtol=1e-4, atol=1e-5)


def test_what_is_encoded_splits_and_stacks():
    net = lively(IOGRefineNet(18, **SMALL))
    x, guidance = inputs(3)
    with torch.inference_mode():
        encoded = net.encode(x)
        parts = encoded.split()
        alone = [net.decode(p, guidance[i : i + 1])[4] for i, p in enumerate(parts)]
        together = net.decode(Encoded.stack([parts[2], parts[0]]), guidance[[2, 0]])[4]
    assert len(parts) == 3
    torch.testing.assert_close(together, torch.cat([alone[2], alone[0]]), rtol=1e-4, atol=1e-5)
    # A part owns its memory: the batch can be freed.
    assert parts[0].first.untyped_storage().nbytes() * 3 == encoded.first.nbytes


def test_guidance_matters_and_gradients_reach_every_used_weight():
    net = IOGRefineNet(18, **SMALL)
    x, guidance = inputs()
    torch.stack([output.sum() for output in net(x, guidance)[:4]]).sum().backward()
    (net(x, guidance)[4] ** 2).sum().backward()
    unused = {key for key, value in net.named_parameters() if value.grad is None}
    assert unused == {key for key in dict(net.named_parameters()) if ".upsamples.0." in key}


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("network", [IOGNet, IOGRefineNet])
def test_a_saved_network_says_what_it_is(tmp_path, network, suffix):
    path = tmp_path / f"net.{suffix}"
    net = lively(network(18, **SMALL))
    save_network(net, path, trained_on=["here"])
    saved = read_checkpoint(path)
    assert saved.trained_on == ("here",)
    assert saved.guidance == "inside-outside"
    found = load_network(path, network)
    assert found.config == {"kind": network.kind, "depth": 18, "side": 64, "heads": 8}
    for key, value in net.state_dict().items():
        torch.testing.assert_close(found.state_dict()[key], value, rtol=0, atol=0)
    with pytest.raises(UserError, match=r"has backbone=resnet18, not resnet50"):
        load_network(path, network, depth=50)
    other: Any = IOGNet if network is IOGRefineNet else IOGRefineNet
    with pytest.raises(UserError, match=f"is a checkpoint of {network.kind}, not {other.kind}"):
        load_network(path, other)


def test_half_precision_is_read_back_in_full(tmp_path):
    net = lively(IOGNet(18, **SMALL))
    save_network(net, tmp_path / "half.safetensors", half=True)
    save_network(net, tmp_path / "full.safetensors")
    found = load_network(tmp_path / "half.safetensors", IOGNet)
    weight = found.backbone.conv1.weight
    assert weight.dtype == torch.float32
    torch.testing.assert_close(weight, net.backbone.conv1.weight, rtol=1e-3, atol=1e-6)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "full")]
    assert sizes[0] < 0.51 * sizes[1]


def test_a_small_resnet18_fits_in_25_megabytes(tmp_path):
    for network in (IOGNet, IOGRefineNet):
        save_network(network(18, side=256, heads=96), tmp_path / "mini.safetensors", half=True)
        assert (tmp_path / "mini.safetensors").stat().st_size < 25e6


def test_released_files_load_and_wrong_ones_are_explained(tmp_path):
    path = tmp_path / "released.pth"
    state = IOGNet(18).state_dict()
    old = {f"module.{k}": v for k, v in state.items() if "num_batches" not in k}
    torch.save(old, path)
    assert load_network(path, IOGNet, depth=18).side == 512
    with pytest.raises(UserError, match="layer3 has 2 blocks, not 23"):
        load_network(path, IOGNet)
    with pytest.raises(UserError, match="three-point network: use iog"):
        load_network(path, IOGRefineNet, depth=18)
    torch.save(IOGRefineNet(18).state_dict(), path)
    with pytest.raises(UserError, match="refinement network: use iog-refine"):
        load_network(path, IOGNet, depth=18)
    torch.save({**state, "extra": torch.ones(1)}, path)
    with pytest.raises(UserError, match="1 unexpected: extra"):
        load_network(path, IOGNet, depth=18)
    del state["psp4.bottleneck.0.weight"]
    torch.save(state, path)
    with pytest.raises(UserError, match=r"1 of \d+ keys missing: psp4.bottleneck.0.weight"):
        load_network(path, IOGNet, depth=18)


def test_imagenet_weights_go_where_they_belong():
    """With random weights in place of the download: same features for an image without clicks."""
    classifier = lively(torchvision.models.resnet18(weights=None))
    net = IOGNet(18, **SMALL)
    initialise_from_imagenet(net, classifier.state_dict())
    net.eval()
    assert (net.backbone.conv1.weight[:, 3:] == 0).all()
    x = inputs()[0]
    with torch.inference_mode():
        _, first, second, third, _ = net.backbone.features(x)
        expected = classifier.maxpool(classifier.relu(classifier.bn1(classifier.conv1(x[:, :3]))))
        for stage, found in ((classifier.layer1, first), (classifier.layer2, second)):
            expected = stage(expected)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)
        torch.testing.assert_close(third, classifier.layer3(expected), rtol=1e-4, atol=1e-3)
    for key, value in classifier.layer4.state_dict().items():
        torch.testing.assert_close(net.backbone.layer4.state_dict()[key], value, rtol=0, atol=0)
    with pytest.raises(UserError, match="the ImageNet weights does not fit"):
        initialise_from_imagenet(net, torchvision.models.resnet34(weights=None).state_dict())
