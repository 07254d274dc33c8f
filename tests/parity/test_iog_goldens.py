"""IOG beside the released code: networks, transforms, points and whole evaluations."""

import hashlib
import json

import numpy as np
import pytest
import skimage.data
import torch
from golden_runs import GOLDENS, formula_state, write_checkpoint
from recorded_clicks import instance_of

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.method import Session
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import methods, simulators
from isegbench.methods.iog.released_simulator import view_point
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_refine import IOGRefineNet
from isegbench.methods.processing.gaussian_points import gaussian_map
from isegbench.methods.runtime.checkpoint_file import fit

MODELS = {
    "iog_r50": (IOGNet, 50),
    "iog_r101": (IOGNet, 101),
    "iog_refine_r101": (IOGRefineNet, 101),
}


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """`build(model)`: its method, with the released protocol."""
    folder = tmp_path_factory.mktemp("iog")

    def method(model):
        path = folder / f"{model}.pth"
        if not path.exists():
            write_checkpoint(GOLDENS / model, path)
        name = "iog-refine" if "refine" in model else "iog"
        depth = MODELS[model][1]
        return methods.build(
            f"{name}:weights={path},backbone=resnet{depth},protocol=released,device=cpu"
        )

    return method


@pytest.fixture(scope="module")
def rows(shared):
    """`rows(model)`: its recorded evaluations."""
    return lambda model: json.loads(shared("goldens", model, "e2e.json").read_text())["rows"]


def relative_error(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def network_of(model):
    kind, depth = MODELS[model]
    network = kind(depth)
    fit(network, formula_state(GOLDENS / model), what=model)
    return network.eval()


def outputs(network, x, guidance=None):
    """The five outputs as (h, w) arrays; guidance: of the refinement network."""
    more = [] if isinstance(network, IOGNet) else [torch.from_numpy(guidance)]
    with torch.inference_mode():
        found = network(torch.from_numpy(x), *more)
    return [output[0, 0].numpy() for output in found]


def astronaut():
    """The portable goldens' input."""
    inside = gaussian_map(np.array([[130, 220]]), (512, 512))
    corners = np.array([[10, 60], [10, 420], [505, 60], [505, 420]])
    heat = np.dstack([inside, gaussian_map(corners, (512, 512))])
    heat = 255 * (heat - heat.min()) / (heat.max() - heat.min() + 1e-10)
    stacked = np.dstack([skimage.data.astronaut(), heat])
    return np.ascontiguousarray(stacked.transpose(2, 0, 1)[None], np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_portable_logits(model):
    x = astronaut()
    found = outputs(network_of(model), x, x[:, 3:])
    expected = np.load(GOLDENS / model / "portable.npz")
    step = found[4].shape[0] // 64
    assert relative_error(found[4][::step, ::step], expected["fine"]) < 5e-4
    if "coarse3" in expected:
        assert relative_error(found[3][::step, ::step], expected["coarse3"]) < 5e-4


@pytest.mark.goldens
@pytest.mark.parametrize("image", ["Berkeley_124084", "GrabCut_bush"])
@pytest.mark.parametrize("model", MODELS)
def test_recorded_logits(model, image, shared):
    golden = np.load(shared("goldens", model, f"forward_{image}.npz"))
    found = outputs(network_of(model), golden["input"].astype(np.float32), golden.get("iog_points"))
    assert relative_error(found[4], golden["fine"][0, 0]) < 5e-4
    for level in range(4):
        expected = golden.get(f"coarse{level}")
        coarse = found[level]
        if expected is None:
            expected, coarse = golden[f"coarse{level}_sub4"], coarse[::4, ::4]
        assert relative_error(coarse, expected[0, 0]) < 5e-4, level


@pytest.mark.parametrize("model", MODELS)
def test_points_boxes_and_input(model, build, rows, shared):
    """Exactly, to the last bit of the network's input, for every instance."""
    simulator, method = simulators.build("iog-released"), build("iog_r50")
    for row in rows(model):
        instance = instance_of(row, shared("data")).load()
        clicks = simulator.open(instance, "inside-outside", np.random.default_rng(0))
        session = Session(instance.image, tuple(clicks))
        method.begin(session)
        x, box = session.memory["input"].numpy(), session.memory["view"].box
        assert [box.left, box.top, box.right, box.bottom] == row["bbox_xyxy"], row["name"]
        inside, *corners = row["iog_points_xy"]
        assert peaks(x[3]) == [inside], row["name"]
        seen = [point for point in corners if max(point) < 512]
        assert sorted(peaks(x[4])) == sorted(seen), row["name"]
        assert x.dtype == np.float32
        sha1 = hashlib.sha1(np.ascontiguousarray(x).tobytes()).hexdigest()
        assert sha1 == row["concat_sha1"], row["name"]


def peaks(heat):
    """[x, y] of the highest places of a map."""
    return [[int(x), int(y)] for y, x in np.argwhere(heat == heat.max())]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["iog_r50", "iog_refine_r101"])
def test_one_whole_evaluation(model, build, rows, shared):
    assert_evaluation(build(model), rows(model)[0], shared("data"))


@pytest.mark.goldens
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", MODELS)
def test_every_evaluation(model, build, rows, shared):
    method = build(model)
    for row in rows(model):
        assert_evaluation(method, row, shared("data"))


def assert_evaluation(method, row, data_root):
    """The engine's trace of one instance beside the recorded stages: points and scores."""
    kept, predict = [], method.predict

    def keeping(sessions):
        kept.append(predict(sessions))
        return kept[-1]

    stages = row.get("stages", [row])
    ref = instance_of(row, data_root)
    name = row["name"]
    pairing = Pairing(method, method.name, simulators.build("iog-released"), "iog-released")
    method.predict = keeping
    try:
        (trace,) = Engine(pairing, Settings(clicks=2 + len(stages))).run([ref])
    finally:
        method.predict = predict
    assert trace.status == "ok", trace.error
    assert len(kept) == len(stages)
    truth = ref.load().mask
    for (found,), stage in zip(kept, stages, strict=True):
        # Python's floats, as a method's threshold is: they are compared in float32.
        scores = [iou(np.asarray(found > value), truth) for value in row["thresholds"]]
        np.testing.assert_allclose(scores, stage["iou"], rtol=0, atol=1e-3, err_msg=name)
    added = trace.steps[3:]
    for step, stage in zip(added, stages, strict=False):
        recorded = stage["next_click"]
        assert view_point(step.click) == (recorded["row"], recorded["col"]), name
        kind = "positive" if recorded["polarity"] == "fg" else "negative"
        assert step.click.kind == kind, name
    assert len(added) == len(stages) - 1
