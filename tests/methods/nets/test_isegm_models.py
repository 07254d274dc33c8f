"""The network is the one the checkpoint says it is."""

import json

import pytest
import torch
from golden_runs import GOLDENS

from isegbench.harness.errors import UserError
from isegbench.methods.nets.deeplab import DeepLabV3Plus
from isegbench.methods.nets.hrnet import HRNet
from isegbench.methods.nets.isegm_models import RITM_CLASSES, fbrs_network, ritm_network
from isegbench.methods.nets.ocr import HRNetOCR

FBRS = sorted(path.name for path in GOLDENS.iterdir() if path.name.startswith("fbrs"))
RITM = sorted(path.name for path in GOLDENS.iterdir() if path.name.startswith("ritm"))


def manifest(model):
    """The shapes of a golden model's checkpoint, by key."""
    listed = json.loads((GOLDENS / model / "manifest.json").read_text())
    return {key: torch.Size(shape) for key, (shape, _) in listed.items()}


def shapes_of(network):
    return {key: value.shape for key, value in network.state_dict().items()}


def empty_state(model):
    return {key: torch.empty(shape, device="meta") for key, shape in manifest(model).items()}


def config_of(model):
    return json.loads((GOLDENS / model / "config.json").read_text())


@pytest.mark.parametrize("model", FBRS)
def test_an_fbrs_checkpoint_names_its_architecture_by_its_keys(model):
    with torch.device("meta"):
        network = fbrs_network(empty_state(model))
    assert shapes_of(network) == manifest(model)


@pytest.mark.parametrize("model", FBRS)
def test_batch_counters_may_be_left_out_of_a_checkpoint(model):
    state = empty_state(model)
    lean = {key: value for key, value in state.items() if "num_batches_tracked" not in key}
    with torch.device("meta"):
        network = fbrs_network(lean)
    assert shapes_of(network) == manifest(model)


def test_a_small_hrnet_is_told_by_its_blocks():
    with torch.device("meta"):
        small = HRNetOCR(18, 64, small=True).state_dict()
        network = fbrs_network({f"feature_extractor.{key}": value for key, value in small.items()})
    assert shapes_of(network.feature_extractor) == {k: v.shape for k, v in small.items()}


def test_a_recorded_dropout_rate_means_128_channels():
    state = {**empty_state("fbrs_resnet101_dh256"), "aspp_dropout": 0.5}
    with torch.device("meta"):
        network = fbrs_network(state)
    assert isinstance(network.feature_extractor, DeepLabV3Plus)
    assert network.feature_extractor.channels == 128


@pytest.mark.parametrize("state", [{}, {"feature_extractor.backbone.conv1.weight": torch.ones(1)}])
def test_keys_that_fit_nothing_are_refused(state):
    with pytest.raises(UserError, match="no f-BRS checkpoint"):
        fbrs_network(state)


@pytest.mark.parametrize("model", RITM)
def test_a_ritm_checkpoint_names_its_architecture_in_its_config(model):
    with torch.device("meta"):
        network = ritm_network(config_of(model))
    assert shapes_of(network) == manifest(model)


def test_deeplab_is_in_the_table_too():
    params = {"backbone": "resnet34", "deeplab_ch": 128, "with_prev_mask": True}
    name = "isegm.model.is_deeplab_model.DeeplabModel"
    assert name in RITM_CLASSES
    with torch.device("meta"):
        network = ritm_network({"class": name, "params": params})
        image = torch.zeros(1, 4, 64, 80)
        logits = network.eval()(image, torch.zeros(1, 2, 2))
    assert logits.shape == (1, 1, 64, 80)
    with pytest.raises(UserError, match="backbone='vgg'"):
        ritm_network({"class": name, "params": {"backbone": "vgg"}})


def test_an_unknown_class_or_parameter_is_refused():
    config = config_of("ritm_hrnet18s")
    with pytest.raises(UserError, match="HRNetModel"):
        ritm_network({**config, "class": "isegm.model.is_hrnet_model.HRNetMdel"})
    with pytest.raises(UserError, match="'params'"):
        ritm_network({"class": config["class"]})
    entry = {"type": "builtin", "value": 7, "specified": True}
    with pytest.raises(UserError, match="depth=7"):
        ritm_network({**config, "params": {**config["params"], "depth": entry}})
    unspecified = {**entry, "specified": False}
    with torch.device("meta"):
        ritm_network({**config, "params": {**config["params"], "depth": unspecified}})


@pytest.mark.parametrize("cut", ["backbone", "pyramid", "decoder"])
@torch.no_grad()
def test_deeplab_cut_in_two_is_the_whole(cut):
    net = DeepLabV3Plus(34, 16).eval()
    image = torch.randn(1, 3, 40, 56)
    features, skip = net.before(image, None, cut)
    assert features.shape[1] == net.cut_channels(cut)
    torch.testing.assert_close(net.after(features, skip, cut), net(image))


@pytest.mark.parametrize("cut", ["trunk", "context"])
@torch.no_grad()
def test_hrnet_cut_in_two_is_the_whole(cut):
    net = HRNetOCR(8, 4, small=True).eval()
    image = torch.randn(1, 3, 40, 56)
    features, carried = net.before(image, None, cut)
    assert features.shape[1] == net.cut_channels(cut)
    torch.testing.assert_close(net.after(features, carried, cut), net(image))


@torch.no_grad()
def test_without_the_last_relu_features_may_be_negative():
    image = torch.randn(1, 3, 64, 64)
    torch.manual_seed(0)
    plain = HRNet(8, small=True).eval()
    bare = HRNet(8, small=True, relu_after_fuse=False).eval()
    bare.load_state_dict(plain.state_dict())
    assert float(plain.features(image).min()) >= 0
    assert float(bare.features(image).min()) < 0


@torch.no_grad()
def test_added_features_enter_the_first_channels_of_the_deep_stem():
    net = DeepLabV3Plus(50, 16).eval()
    image, added = torch.randn(1, 3, 32, 32), torch.randn(1, 64, 16, 16)
    padded = torch.cat([added, torch.zeros_like(added)], dim=1)
    torch.testing.assert_close(net(image, added), net(image, padded))
    assert not torch.allclose(net(image, added), net(image))
