"""DEXTR beside the released code: network, crop, points and whole evaluations."""

import json

import numpy as np
import pytest
import skimage.data
import torch
from golden_runs import GOLDENS, write_checkpoint
from recorded_clicks import instance_of, ious
from torch.nn import functional

from isegbench.harness.method import Session
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import simulators
from isegbench.harness.simulators.replay import RecordedClicks
from isegbench.harness.types import Click
from isegbench.methods.dextr.dextr import DEXTR, MARGIN, crop_point, in_image
from isegbench.methods.processing.gaussian_points import gaussian_map

MODEL = "dextr_r101"


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return str(write_checkpoint(GOLDENS / MODEL, tmp_path_factory.mktemp(MODEL) / "dextr.pth"))


@pytest.fixture(scope="module")
def released(weights):
    return DEXTR(weights, protocol="released", device="cpu")


@pytest.fixture(scope="module")
def rows(shared):
    return json.loads(shared("goldens", MODEL, "e2e.json").read_text())["rows"]


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def logits(method, x):
    with torch.inference_mode():
        return method.network(torch.from_numpy(x)).numpy()


@pytest.mark.slow
def test_portable_logits(released):
    points = np.array([[12, 230], [500, 250], [300, 40], [280, 470]])
    heat = gaussian_map(points, (512, 512))
    heat = 255 * (heat - heat.min()) / (heat.max() - heat.min() + 1e-10)
    x = np.dstack([skimage.data.astronaut(), heat]).transpose(2, 0, 1)[None].astype(np.float32)
    expected = np.load(GOLDENS / MODEL / "portable.npz")["logits"]
    assert relative_error(logits(released, x)[0, 0], expected) < 5e-4


def test_points_boxes_and_input(released, rows, shared):
    """Exactly, for every instance; the network's input for the one that is recorded."""
    simulator = simulators.build("dextr-released")
    for row in rows:
        instance = instance_of(row, shared("data")).load()
        clicks = simulator.open(instance, "extreme-points", np.random.default_rng(0))
        found = [list(reversed(crop_point(click))) for click in clicks]
        assert found == row["test"]["points_crop_xy"], row["name"]
        pixels = np.array([click.pixel for click in clicks])
        (top, left), (bottom, right) = pixels.min(0) - MARGIN, pixels.max(0) + MARGIN
        assert [left, top, right, bottom] == row["test"]["bbox_xyxy"], row["name"]
        if row["name"] == "bush":
            session = session_of(instance, clicks)
            released.begin(session)
            expected = np.load(shared("goldens", MODEL, "forward_GrabCut_bush.npz"))["input"]
            np.testing.assert_allclose(session.memory["input"], expected[0], atol=1e-3)


@pytest.mark.slow
def test_the_demos_points_and_one_whole_evaluation(weights, rows, shared):
    method = DEXTR(weights, device="cpu")
    assert_demo(method, rows[0], shared("data"))


@pytest.mark.goldens
@pytest.mark.parametrize("image", ["Berkeley_124084", "GrabCut_bush"])
def test_recorded_logits(released, shared, image):
    golden = np.load(shared("goldens", MODEL, f"forward_{image}.npz"))
    found = logits(released, golden["input"].astype(np.float32))
    assert relative_error(found, golden["logits"]) < 5e-4


@pytest.mark.goldens
@pytest.mark.timeout(1800)
def test_every_demo_evaluation(weights, rows, shared):
    method = DEXTR(weights, device="cpu")
    for row in rows:
        assert_demo(method, row, shared("data"))


@pytest.mark.goldens
@pytest.mark.timeout(1800)
def test_every_official_evaluation(released, rows, shared):
    simulator = simulators.build("dextr-released")
    for row in rows:
        ref = instance_of(row, shared("data"))
        (found,) = ious(released, ref, simulator, clicks=4)
        assert found == pytest.approx(row["test"]["iou_08"], abs=1e-4), row["name"]
        assert without_png(released, ref) == pytest.approx(
            row["test"]["iou_08_without_png"], abs=1e-4
        ), row["name"]


@pytest.mark.goldens
@pytest.mark.timeout(1800)
def test_a_batch_gives_what_single_sessions_give(weights, rows, shared):
    method = DEXTR(weights, device="cpu")
    sessions = []
    for row in rows[:3]:
        instance = instance_of(row, shared("data")).load()
        sessions.append(session_of(instance, extremes(row)))
        method.begin(sessions[-1])
    for session, found in zip(sessions, method.predict(sessions), strict=True):
        np.testing.assert_allclose(found, method.predict([session])[0], atol=1e-5)


def assert_demo(method, row, data_root):
    clicks = extremes(row)
    ref = instance_of(row, data_root)
    session = session_of(ref.load(), clicks)
    method.begin(session)
    heat = session.memory["input"][3]
    for x, y in row["demo"]["points_crop_xy"]:
        assert heat[y, x] == 255, row["name"]
    (found,) = ious(method, ref, RecordedClicks(clicks, opening=4), clicks=4)
    assert found == pytest.approx(row["demo"]["iou_08"], abs=1e-4), row["name"]


def extremes(row):
    return [Click(y, x, "extreme") for x, y in row["demo"]["points_image_xy"]]


def session_of(instance, clicks):
    return Session(instance.image, tuple(clicks))


def without_png(method, ref):
    """The evaluation with its 8-bit step left out."""
    instance = ref.load()
    clicks = simulators.build("dextr-released").open(
        instance, "extreme-points", np.random.default_rng(0)
    )
    session = session_of(instance, clicks)
    method.begin(session)
    with torch.inference_mode():
        logits = method.network(session.memory["input"][None])
        logits = functional.interpolate(logits, (512, 512), mode="bilinear", align_corners=True)
    values = in_image(logits[0, 0].numpy(), session.memory["box"], session.shape)
    return iou(values > method.threshold, instance.mask)
