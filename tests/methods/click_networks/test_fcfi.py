import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from formula import formula_state
from golden_runs import GOLDENS, rerun, write_checkpoint

from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.registry import methods
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Click
from isegbench.methods.click_networks.fcfi import FCFI, Zoom
from isegbench.methods.processing.zoom_in import ZoomIn

HRNET, RESNET = "fcfi_hrnet18s", "fcfi_resnet101"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """`checkpoint(model)`: the path of a golden model's checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoints")

    def write(model=HRNET):
        path = folder / f"{model}.pth"
        return str(path if path.exists() else write_checkpoint(GOLDENS / model, path))

    return write


@pytest.fixture(scope="module")
def fcfi(checkpoint):
    """`fcfi(zoom)`: the method, on small inputs where the data set does not say otherwise."""
    made = {}

    def build(zoom):
        if zoom not in made:
            made[zoom] = FCFI(checkpoint(), zoom=zoom, device="cpu")
            made[zoom].zoom = replace(made[zoom].zoom, target=128)
        return made[zoom]

    return build


def zoom_of(method, dataset) -> ZoomIn:
    zoom = method.zoom_for(small_session(1, dataset))
    assert zoom is not None
    return zoom


class Watched(FCFI):
    """Notes the sum of each prediction and where it belongs, one instance at a time."""

    seen: list

    def predict(self, sessions):
        maps = super().predict(sessions)
        for session, probabilities in zip(sessions, maps, strict=True):
            roi = self.look(session).roi
            rows_then_columns = roi and [roi.top, roi.bottom, roi.left, roi.right]
            self.seen.append(
                (float(torch.as_tensor(probabilities).double().sum()), rows_then_columns)
            )
        return maps


def check(checkpoint, shared, model, names=None, clicks=None):
    rows = json.loads(shared("goldens", model, "e2e_NoBRS.json").read_text())["rows"]
    rows = [row for row in rows if names is None or row["name"] in names]
    method = Watched(checkpoint(model), device="cpu")
    for row in rows:
        count = clicks or len(row["clicks"])
        method.seen = []
        (golden,) = rerun(method, LargestError(), [row], shared("data"), clicks=count)
        sums, rois = zip(*method.seen, strict=True)
        expected = row["prob_sum"][:count]
        sum_error = np.abs(np.array(sums) / expected - 1).max()
        print(
            f"{model} {golden.name}: {golden.same}/{count} agree, "
            f"IoU {golden.iou_error():.1e}, sum {sum_error:.1e}"
        )
        assert golden.clicks == golden.expected_clicks, golden.name
        assert list(rois) == row["zoom_roi_rmin_rmax_cmin_cmax"][:count]
        # No recorded step is without a pixel near the threshold: all of them are held to this.
        assert golden.iou_error() < 1e-4
        assert sum_error < 1e-4


@pytest.mark.slow
def test_it_repeats_the_released_clicks(checkpoint, shared):
    # In this image the prediction's box is not that of the fused mask.
    check(checkpoint, shared, HRNET, names=["153093"], clicks=2)


@pytest.mark.goldens
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("model", [HRNET, RESNET])
def test_whole_evaluations(checkpoint, shared, model):
    check(checkpoint, shared, model)


def clicked(method, session, *clicks):
    """The session's predictions, one after each click."""
    method.begin(session)
    for click in clicks:
        session.clicks = (*session.clicks, click)
        (session.previous,) = method.predict([session])
    return session


def small_session(seed, dataset=""):
    image = np.random.default_rng(seed).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    return Session(image, (), dataset)


@pytest.mark.parametrize("zoom", ["released", "uniform"])
def test_a_batch_gives_what_one_at_a_time_gives(fcfi, zoom):
    method = fcfi(zoom)
    clicks = (Click(40, 60, "positive"), Click(50, 20, "negative"))
    batch = [small_session(1), small_session(2)]
    for session in batch:
        method.begin(session)
    for click in clicks:
        for session in batch:
            session.clicks = (*session.clicks, click)
        assert len({method.batch_key(session) for session in batch}) == 1
        for session, made in zip(batch, method.predict(batch), strict=True):
            session.previous = made
    for seed, session in enumerate(batch, start=1):
        alone = clicked(method, small_session(seed), *clicks)
        torch.testing.assert_close(alone.previous, session.previous, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_zoom_by_data_set(checkpoint):
    expected: dict[Zoom, dict[str, tuple]] = {
        "released": {"grabcut": (700, 3.0), "berkeley": (720, 2.8), "davis": (720, 3.5)},
        "uniform": {"grabcut": (400, 1.4), "berkeley": (400, 1.4), "davis": (600, 1.4)},
    }
    for zoom, by_dataset in expected.items():
        method = FCFI(checkpoint(), zoom=zoom, device="cpu")
        for dataset, numbers in {**by_dataset, "coco_mval": (400, 1.4)}.items():
            chosen = zoom_of(method, dataset)
            assert (chosen.target, chosen.expansion, chosen.all_clicks) == (*numbers, True)
        # The tuned zoom-in is said where it is used, and only there.
        assert ("tuned for each data set" in "; ".join(method.departures)) == (zoom == "released")


def test_the_zoom_depends_on_the_trunk(checkpoint):
    method = FCFI(checkpoint(RESNET), device="cpu")
    found = [zoom_of(method, dataset) for dataset in ("grabcut", "berkeley", "davis")]
    assert [(z.target, z.expansion) for z in found] == [(600, 3.2), (720, 2.5), (640, 3.0)]


def test_uniform_looks_around_its_own_prediction(fcfi):
    session = small_session(1)
    session.clicks = (Click(40, 60, "positive"), Click(41, 61, "positive"))
    session.previous = np.zeros((60, 80), np.float32)
    for zoom in ("uniform", "released"):
        method = fcfi(zoom)
        method.begin(session)
        # What the fused mask would be, had there been a prediction.
        session.memory["fused"] = torch.ones(60, 80, dtype=torch.bool)
        assert (method.look(session).roi is None) == (zoom == "uniform")


def test_the_network_is_told_the_newest_click_and_whether_there_is_a_mask(fcfi, monkeypatch):
    method, told = fcfi("uniform"), []
    attend = method.network.attend

    def watch(image, points, newest, gate):
        told.append((newest.tolist(), gate.tolist()))
        return attend(image, points, newest, gate)

    monkeypatch.setattr(method.network, "attend", watch)
    session = clicked(method, small_session(1), Click(40, 60, "positive"))
    session.clicks = (*session.clicks, Click(11, 21, "negative"))
    # Coordinates are scaled and mirrored, then truncated.
    session.previous = np.zeros((60, 80), np.float32)
    session.previous[20:40, 21:70] = 1
    method.predict([session])
    (height, width), roi = method.look(session).size, method.look(session).roi
    y, x = height * (11 - roi.top) / roi.height, width * (21 - roi.left) / roi.width
    assert told[0] == ([[40, 60, 1], [40, 19, 1]], [0.0, 0.0])
    assert told[1] == ([[int(y), int(x), 0], [int(y), int(width - x - 1), 0]], [1.0, 1.0])


def test_a_bare_state_dict_is_refused(tmp_path):
    torch.save(formula_state(GOLDENS / HRNET), tmp_path / "bare.pth")
    with pytest.raises(UserError, match="'config' and 'state_dict'"):
        FCFI(str(tmp_path / "bare.pth"), device="cpu")


def test_a_checkpoint_of_another_trunk_is_refused(tmp_path):
    config = json.loads((GOLDENS / RESNET / "config.json").read_text())
    path = tmp_path / "mixed.pth"
    torch.save({"state_dict": formula_state(GOLDENS / HRNET), "config": config}, path)
    with pytest.raises(UserError, match="does not fit"):
        FCFI(str(path), device="cpu")


def test_an_unknown_class_is_refused_and_never_imported(tmp_path):
    config = {"class": "os.path.Evil", "params": {}}
    torch.save({"state_dict": {"a": torch.ones(1)}, "config": config}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"os\.path\.Evil"):
        FCFI(str(tmp_path / "evil.pth"), device="cpu")


def test_it_is_built_by_name(checkpoint):
    method = methods.build(f"fcfi:weights={checkpoint()},zoom=uniform,device=cpu")
    assert (method.opening, method.threshold, method.as_released) == ("click", 0.49, False)
    assert method.weights.sha256
