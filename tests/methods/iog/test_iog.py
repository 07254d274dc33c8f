import numpy as np
import pytest
import torch
from torch import nn

from isegbench.harness.errors import MethodError, UserError
from isegbench.harness.method import Checkpoint, Session
from isegbench.harness.registry import methods, simulators
from isegbench.harness.simulators.openings import opening_clicks
from isegbench.harness.types import Click, MapInView
from isegbench.methods.iog.iog import IOG
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_refine import IOGRefineNet


class Brightness(nn.Module):
    """Stands in for the network: bright pixels are object."""

    def fine(self, x):
        return (x[:, :3].mean(1, keepdim=True) - 128) / 10


def session_of(instance, clicks=None):
    rng = np.random.default_rng(0)
    return Session(
        instance.image, tuple(clicks or opening_clicks("inside-outside", instance.mask, rng))
    )


def begun(method, session):
    method.begin(session)
    return session


@pytest.mark.parametrize("centre", [(45, 60), (5, 8), (85, 118)])
def test_the_map_lies_where_the_object_is(checkpoint, disc, centre):
    """Also for an object cut by the border, whose crop reaches far beyond it."""
    instance = disc(*centre, 20)
    method = methods.build(f"iog:weights={checkpoint(IOGNet, 128)},device=cpu")
    method.network = Brightness()
    (found,) = method.predict([begun(method, session_of(instance))])
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    mask = found > method.threshold
    both = (mask & (instance.mask == 1)).sum() / (mask | (instance.mask == 1)).sum()
    assert both > 0.9


def test_nothing_beyond_the_margin_is_object(checkpoint, disc):
    instance = disc(45, 60, 5)
    instance.image[:] = 255
    method = methods.build(f"iog:weights={checkpoint(IOGNet)},device=cpu")
    method.network = Brightness()
    (found,) = method.predict([begun(method, session_of(instance))])
    expected = np.zeros((90, 120), bool)
    expected[45 - 35 : 45 + 36, 60 - 35 : 60 + 36] = True
    np.testing.assert_array_equal(found > 0.5, expected)


def test_the_input_is_the_crop_and_the_guidance(checkpoint, disc):
    """Any two opposite corners describe the box."""
    instance = disc(45, 60, 20)
    method = IOG(checkpoint(IOGNet, 256), device="cpu")
    first, second, inside = session_of(instance).clicks
    x = begun(method, session_of(instance)).memory["input"].numpy()
    assert x.shape == (5, 256, 256)
    assert x.dtype == np.float32
    assert x[0, 128, 128] > 190
    assert x[3, 128, 128] == 255
    outer = np.argwhere(x[4] == 255)
    margin = 30 * 256 / 101
    np.testing.assert_allclose(outer[0], (margin - 5, margin - 5), atol=1)
    np.testing.assert_allclose(outer[3], (256 - margin + 4, 256 - margin + 4), atol=1)
    turned = [
        Click(second.y, first.x, "corner"),
        Click(first.y, second.x, "corner"),
        inside,
    ]
    other = begun(method, session_of(instance, turned)).memory["input"]
    np.testing.assert_array_equal(other, x)


def test_a_batch_gives_what_single_sessions_give(checkpoint, disc):
    method = IOG(checkpoint(IOGNet), device="cpu")
    places = [(45, 60, 20), (30, 40, 8), (45, 60, 5)]
    sessions = [begun(method, session_of(disc(*place))) for place in places]
    assert len({method.batch_key(session) for session in sessions}) == 1
    maps = method.predict(sessions)
    assert np.abs(maps[0] - maps[1]).max() > 1e-2
    for session, found in zip(sessions, maps, strict=True):
        np.testing.assert_allclose(found, method.predict([session])[0], atol=1e-4)


@pytest.mark.parametrize(
    "place", [(45, 60, 20), (5, 8, 20), (45, 60, 8), (150, 200, 100, (300, 400))]
)
def test_clicks_in_the_image_and_in_the_view_say_nearly_the_same(checkpoint, disc, place):
    """The released protocol's points, found in the ground truth, against a person's clicks."""
    instance = disc(*place)
    weights = checkpoint(IOGNet, 512)
    image, released = (IOG(weights, protocol=p, device="cpu") for p in ("image", "released"))
    rng = np.random.default_rng(0)
    clicks = simulators.build("iog-released").open(instance, "inside-outside", rng)
    told = begun(released, session_of(instance, clicks)).memory["input"].numpy()
    clicked = begun(image, session_of(instance)).memory["input"].numpy()
    np.testing.assert_array_equal(told[:3], clicked[:3])
    peaks = [np.argwhere(x[4] > 254.9).astype(float) for x in (told, clicked)]
    np.testing.assert_allclose(peaks[0].mean(0), peaks[1].mean(0), atol=1)
    inside = [np.argwhere(x[3] > 254.9).mean(0) for x in (told, clicked)]
    np.testing.assert_allclose(*inside, atol=8)


def test_eight_bits_take_255_levels_only(checkpoint, disc):
    method = IOG(checkpoint(IOGNet, 512), protocol="released", device="cpu")
    instance = disc(45, 60, 20)
    rng = np.random.default_rng(0)
    clicks = simulators.build("iog-released").open(instance, "inside-outside", rng)
    (found,) = method.predict([begun(method, session_of(instance, clicks))])
    assert isinstance(found, MapInView)
    levels = np.asarray(found) * 255
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    assert {0, 255} <= set(levels.round().ravel().tolist())
    assert found.in_view is not None
    assert found.in_view.shape == (512, 512)
    mask = found > 0.5
    assert isinstance(mask, MapInView)
    assert mask.in_view is None


@pytest.mark.slow
def test_what_does_not_fit_is_refused(checkpoint, disc, tmp_path, monkeypatch):
    weights = checkpoint(IOGNet)
    with pytest.raises(UserError, match="protocol=released needs a network with 512-pixel sides"):
        IOG(weights, protocol="released", device="cpu")
    with pytest.raises(UserError, match="has backbone=resnet18, not resnet101"):
        IOG(weights, backbone="resnet101", device="cpu")
    with pytest.raises(UserError, match="is a checkpoint of iog-refine, not iog"):
        IOG(checkpoint(IOGRefineNet), device="cpu")
    with pytest.raises(UserError, match="first stage of iog-box"):
        IOG(checkpoint(IOGNet, guidance="outside"), device="cpu")
    torch.save({"encoder.weight": torch.ones(2)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other\.pth does not fit IOGNet"):
        IOG(str(tmp_path / "other.pth"))
    with pytest.raises(UserError, match="did you mean 'IOG_PASCAL'"):
        IOG("IOG_PASCALL")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")  # Google is not asked
    with pytest.raises(UserError, match="isegbench weights add IOG_PASCAL_SBD FILE"):
        IOG("IOG_PASCAL_SBD")
    method = IOG(checkpoint(IOGNet), device="cpu")
    with pytest.raises(MethodError, match="2 corners of a box and a positive click .* got corner"):
        method.begin(session_of(disc(45, 60, 20), [Click(1, 1, "corner")]))
    released = IOG(checkpoint(IOGNet, 512), protocol="released", device="cpu")
    with pytest.raises(MethodError, match="use the simulator iog-released"):
        released.begin(session_of(disc(45, 60, 20)))


def test_weights_are_recorded_with_what_they_saw(checkpoint):
    used = IOG(checkpoint(IOGNet, trained_on=["voc:split=train"]), device="cpu").weights
    assert isinstance(used, Checkpoint)
    assert used.trained_on == ("voc:split=train",)
    assert len(used.sha256) == 64
    used = IOG(checkpoint(IOGNet), device="cpu").weights
    assert isinstance(used, Checkpoint)
    assert used.trained_on is None


def test_it_is_found_by_name_and_predicts_once():
    assert methods.factory("iog") is IOG
    assert not IOG.corrections
    assert IOG.opening == "inside-outside"
    with pytest.raises(UserError, match="backbone='resnet99'"):
        methods.build("iog:weights=x,backbone=resnet99")
