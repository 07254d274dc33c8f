"""Variants without recorded numbers: their sizes are read from tensors and config."""

import pytest
import torch

from isegbench.harness.errors import UserError
from isegbench.methods.nets.click_network import ClickEncoding
from isegbench.methods.nets.focalclick import FocalHRNet, FocalSegFormer, focalclick_network
from isegbench.methods.nets.segnext import SegNext, segnext_network
from isegbench.methods.nets.simpleclick import SimpleClick, simpleclick_network
from isegbench.methods.nets.vit import ViTShape

DISKS = ClickEncoding(disks=True, radius=5)
#: Shape, channels of the pyramid and the head, and every which block is global: SimpleClick's own.
VITS = {
    "xt": (ViTShape(160, 8, 4, 640, 16, 28), [96, 192, 288, 384], 128, 2),
    "b": (ViTShape(768, 12, 12, 3072, 16, 28), [128, 256, 512, 1024], 256, 6),
    "l": (ViTShape(1024, 24, 16, 4096, 16, 28), [192, 384, 768, 1536], 256, 6),
    "h": (ViTShape(1280, 32, 16, 5120, 14, 32), [240, 480, 960, 1920], 256, 8),
}


def described(network):
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", VITS)
def test_simpleclick(name):
    shape, maps, channels, every = VITS[name]
    with torch.device("meta"):
        made = SimpleClick(shape, maps, channels, DISKS)
        read = simpleclick_network(made.state_dict(), "the checkpoint")
        points = torch.full((1, 2, 2), -1.0)
        assert read(torch.empty(1, 4, 448, 448), points).shape == (1, 1, 448, 448)
    assert described(read) == described(made)
    assert (read.backbone.shape, read.backbone.global_every) == (shape, every)


@pytest.mark.parametrize("fusions", [1, 2])
def test_segnext(fusions):
    shape = ViTShape(768, 12, 12, 3072, 16, 64)
    with torch.device("meta"):
        made = SegNext(shape, 3, fusions, [128, 256, 512, 1024], 256, DISKS)
        read = segnext_network({"model": made.state_dict()}, "the checkpoint")
    assert described(read) == described(made)
    assert (read.size, len(read.fusion_blocks)) == (1024, fusions)


def configured(network, kind, **values):
    params = {key: {"type": "builtin", "value": value} for key, value in values.items()}
    return {"state_dict": network.state_dict(), "config": {"class": kind, "params": params}}


HRNET = "isegm.model.is_hrnet_model.HRNetModel"


@pytest.mark.parametrize(("width", "ocr_width", "small"), [(18, 48, True), (32, 128, False)])
def test_focalclick_with_hrnet(width, ocr_width, small):
    with torch.device("meta"):
        made = FocalHRNet(width, ocr_width, small, DISKS)
        read = focalclick_network(made.state_dict(), "the checkpoint")
    assert described(read) == described(made)


@pytest.mark.parametrize(("version", "side"), [("s1", 16), ("s2", 32)])
def test_s1_looks_at_half_the_size(version, side):
    with torch.device("meta"):
        made = FocalHRNet(18, 48, True, DISKS)
        content = configured(made, HRNET, pipeline_version=version, norm_radius=2)
        read = focalclick_network(content, "the checkpoint")
        assert isinstance(read, FocalHRNet)
        logits, features = read.eval().coarse(torch.empty(1, 4, 128, 128), torch.zeros(1, 2, 2))
    assert read.encoding.radius == 2
    assert logits.shape == (1, 1, 128, 128)
    assert features.shape == (1, 96, side, side)


def test_what_cannot_be_built_is_refused():
    with torch.device("meta"):
        hrnet, segformer = FocalHRNet(18, 48, True, DISKS), FocalSegFormer("b0", DISKS)
    with pytest.raises(UserError, match="pipeline_version='s3'"):
        focalclick_network(configured(hrnet, HRNET, pipeline_version="s3"), "x")
    with pytest.raises(UserError, match="use_rgb_conv=True, which is not supported"):
        focalclick_network(configured(hrnet, HRNET, use_rgb_conv=True), "x")
    with pytest.raises(UserError, match="must be isegm.model.is_segformer_model"):
        focalclick_network(configured(segformer, HRNET), "x")
    with pytest.raises(UserError, match="x is no SegNext checkpoint"):
        segnext_network(hrnet.state_dict(), "x")
    with pytest.raises(UserError, match="x is no SimpleClick checkpoint"):
        simpleclick_network(segformer.state_dict(), "x")
