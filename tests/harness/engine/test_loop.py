import dataclasses
import time
from concurrent.futures import wait

import numpy as np
import pandas as pd
import pytest
import torch

import isegbench
from isegbench.harness.dataset import Dataset
from isegbench.harness.engine import loop
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method, Session
from isegbench.harness.metrics.scores import boundary_iou
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import IGNORED, Blob, Click, instance_from_arrays

STABLE = [
    *("method", "dataset", "simulator", "seed", "instance", "click"),
    *("y", "x", "kind", "iou", "status"),
]


def same_columns(left, right, columns):
    """Both frames are equal in these columns."""
    pd.testing.assert_frame_equal(pd.DataFrame(left[columns]), pd.DataFrame(right[columns]))


def brute_force_iou(mask, truth):
    pairs = [(m, t) for m, t in zip(mask.ravel(), truth.ravel(), strict=True) if t != IGNORED]
    union = sum(bool(m) or t == 1 for m, t in pairs)
    return sum(bool(m) and t == 1 for m, t in pairs) / union


def test_the_loop_equals_a_plain_one_written_down(discs, nearest_seed):
    frame = isegbench.run(nearest_seed, discs(3), clicks=5).traces
    method, simulator = nearest_seed(), LargestError()
    for ref in discs(3).instances():
        instance = ref.load()
        rng = np.random.default_rng(0)
        clicks = simulator.open(instance, "click", rng)
        scores = []
        while True:
            session = Session(instance.image, tuple(clicks))
            mask = method.predict_one(session) > 0.5
            scores.append(brute_force_iou(mask, instance.mask))
            click = simulator.correct(instance, None, mask, clicks, rng)
            if len(clicks) == 5 or click is None:
                break
            clicks.append(click)
        got = frame[frame.instance == ref.name]
        assert got.iou.tolist() == scores
        assert list(zip(got.y, got.x, got.kind, strict=True)) == [
            (c.y, c.x, c.kind) for c in clicks
        ]


@pytest.mark.parametrize("simulator", ["largest-error", "random-error", "random-error:jitter=3"])
def test_results_do_not_depend_on_batch_order_or_threads(discs, nearest_seed, simulator):
    class Reversed(Dataset):
        name = "discs"

        def instances(self):
            return discs(7).instances()[::-1]

    frames = [
        isegbench.run(
            nearest_seed, dataset, simulator=simulator, clicks=6, seeds=2, batch_size=batch
        ).traces
        for dataset, batch in ((discs(7), 1), (discs(7), 3), (discs(7), 64), (Reversed(), 2))
    ]
    for frame in frames[1:]:
        same_columns(frames[0], frame, STABLE)
    by_seed = [frames[0][frames[0].seed == seed] for seed in (0, 1)]
    if simulator != "largest-error":
        assert by_seed[0].y.tolist() != by_seed[1].y.tolist()


def test_nothing_is_lost_when_a_full_pool_finishes_at_once(discs, monkeypatch):
    monkeypatch.setattr(loop, "wait", lambda working, return_when: wait(working))
    broken = [dataclasses.replace(ref, image=Blob(b"no image")) for ref in discs(11).instances()]
    pairing = Pairing(Method(), "m", LargestError(), "s")
    traces = list(Engine(pairing, Settings()).run(broken))
    assert sorted(trace.instance for trace in traces) == sorted(ref.name for ref in broken)
    assert {trace.status for trace in traces} == {"data-failed"}


def test_batches_share_a_key_and_stay_within_the_size(discs, nearest_seed):
    seen = []

    class Recording(nearest_seed):
        def predict(self, sessions):
            seen.append([session.shape for session in sessions])
            return super().predict(sessions)

    isegbench.run(Recording, discs(12), clicks=4, batch_size=4)
    assert all(len(set(shapes)) == 1 and len(shapes) <= 4 for shapes in seen)
    assert max(map(len, seen)) == 4


def test_boundary_iou_is_scored_when_asked_for(discs, nearest_seed, tmp_path):
    options = {"clicks": 4, "out": tmp_path / "o", "boundary_iou": True}
    frame = isegbench.run(nearest_seed, discs(4), limit=3, **options).traces
    plain = isegbench.run(nearest_seed, discs(4), limit=3, clicks=4).traces
    assert "boundary_iou" not in plain
    same_columns(frame, plain, STABLE)
    assert frame.columns[-1] == "boundary_iou"
    method = nearest_seed()
    for ref in discs(3).instances():
        instance = ref.load()
        trace = frame[frame.instance == ref.name]
        clicks = [Click(*c) for c in zip(trace.y, trace.x, trace.kind, strict=True)]
        for number, score in enumerate(trace.boundary_iou, start=1):
            session = Session(instance.image, tuple(clicks[:number]))
            mask = method.predict_one(session) > 0.5
            assert score == boundary_iou(mask, instance.mask)
    with pytest.raises(UserError, match="kept: boundary_iou: True in the run, now False"):
        isegbench.run(nearest_seed, discs(4), clicks=4, out=tmp_path / "o")
    assert len(isegbench.run(nearest_seed, discs(4), **options).traces) > len(frame)


def test_a_trace_ends_at_the_target_or_when_nothing_is_wrong(discs, nearest_seed):
    frame = isegbench.run(nearest_seed, discs(4), stop_at=0.6).traces
    for _, trace in frame.groupby("instance"):
        assert (trace.iou.iloc[:-1] < 0.6).all()
        assert trace.iou.iloc[-1] >= 0.6
    perfect = isegbench.run("oracle", discs(4)).traces
    assert perfect.click.tolist() == [1] * 4
    assert perfect.iou.tolist() == [1.0] * 4


def test_clicks_before_the_first_prediction_have_no_score(discs):
    class Boxed(Method):
        opening = "inside-outside"
        corrections = False

        def predict_one(self, session):
            assert [c.kind for c in session.clicks] == ["corner", "corner", "positive"]
            return np.ones(session.shape, np.float32)

    frame = isegbench.run(Boxed, discs(2)).traces
    assert frame.click.tolist() == [1, 2, 3] * 2
    assert frame.iou.isna().tolist() == [True, True, False] * 2
    assert frame.predict_seconds.isna().tolist() == [True, True, False] * 2


def test_what_a_method_sees(discs):
    class Looking(Method):
        def begin(self, session):
            session.memory["begun"] = session.memory.get("begun", 0) + 1

        def predict_one(self, session):
            assert session.memory["begun"] == 1
            assert session.dataset == "discs"
            assert session.truth is None
            assert not session.image.flags.writeable
            if len(session.clicks) == 1:
                assert session.previous is None
            else:
                assert isinstance(session.previous, np.ndarray)
                assert session.previous.flat[0] == len(session.clicks) / 100 - 0.01
            probabilities = np.zeros(session.shape, np.float32)
            probabilities.flat[0] = len(session.clicks) / 100
            return probabilities

    assert (isegbench.run(Looking, discs(3), clicks=4).traces.status == "ok").all()


def ones(session, dtype: type = np.float32):
    return np.ones(session.shape, dtype)


MISBEHAVIOUR = {
    "raises": (lambda s: 1 / 0, "ZeroDivisionError: division by zero"),
    "nan": (lambda s: ones(s) * np.nan, "NaN in .* pixel"),
    "shape": (lambda s: np.ones((3, 4), np.float32), r"shape \(3, 4\); must be the image's"),
    "dtype": (lambda s: ones(s, np.float64), "dtype float64; must be float32"),
    "bool": (lambda s: ones(s, bool), "dtype bool; must be float32"),
    "range": (lambda s: ones(s) * 255, r"values from 255 to 255; must lie in \[0, 1\]"),
    "none": (lambda s: None, "returned NoneType; must be a NumPy array or a torch tensor"),
    "torch": (lambda s: torch.ones(s.shape, dtype=torch.float64), "dtype torch.float64"),
    "meta": (
        lambda s: torch.ones(s.shape, device="meta"),
        "on the meta device",
    ),
    "torch-nan": (lambda s: torch.ones(s.shape) * float("nan"), "NaN in"),
}


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_failure_costs_one_instance_and_says_why(tmp_path, discs, nearest_seed, what, batch_size):
    misbehave, complaint = MISBEHAVIOUR[what]

    class Sometimes(nearest_seed):
        def predict_one(self, session):
            if session.seed == spoiled and len(session.clicks) == 3:
                return misbehave(session)
            return super().predict_one(session)

    spoiled = method_seed(0, "discs", "disc2")
    options = {"clicks": 5, "batch_size": batch_size}
    frame = isegbench.run(Sometimes, discs(5), out=tmp_path / "run", **options).traces
    sound = isegbench.run(nearest_seed, discs(5), **options).traces
    others = frame.instance != "disc2"
    columns = [column for column in STABLE if column != "method"]
    same_columns(
        frame[others].reset_index(drop=True),
        sound[sound.instance != "disc2"].reset_index(drop=True),
        columns,
    )
    bad = frame[~others]
    assert bad.status.tolist() == ["ok", "ok", "method-failed"]
    assert bad.iou.isna().tolist() == [False, False, True]
    assert pd.Series((tmp_path / "run" / "failures.jsonl").read_text()).str.contains(
        complaint.replace('"', '\\"')
    )[0]


def test_a_wrong_number_of_maps_is_found(discs):
    class TooMany(Method):
        def predict(self, sessions):
            return [ones(session) for session in sessions] * 2

    assert (isegbench.run(TooMany, discs(2)).traces.status == "method-failed").all()


def test_begin_and_batch_key_may_fail_too(discs, nearest_seed):
    class NoBegin(nearest_seed):
        def begin(self, session):
            raise RuntimeError("no")

    class NoKey(nearest_seed):
        def batch_key(self, session):
            return ["unhashable"]

    assert (isegbench.run(NoBegin, discs(2)).traces.status == "method-failed").all()
    assert (isegbench.run(NoKey, discs(2), batch_size=2).traces.status == "method-failed").all()


def test_a_prediction_that_takes_too_long_is_timed_out(discs, nearest_seed):
    class Slow(nearest_seed):
        def predict_one(self, session):
            if session.seed == method_seed(0, "discs", "disc1"):
                time.sleep(0.3)
            return super().predict_one(session)

    frame = isegbench.run(Slow, discs(3), clicks=2, time_limit=0.2).traces
    assert frame[frame.instance == "disc1"].status.tolist() == ["timed-out"]
    assert (frame[frame.instance != "disc1"].status == "ok").all()


def test_unusable_instances_fail_alone(discs, nearest_seed):
    image = np.zeros((8, 9, 3), np.uint8)

    class Broken(Dataset):
        name = "broken"

        def instances(self):
            return [
                *discs(1).instances(),
                instance_from_arrays("broken", "empty", image, np.zeros((8, 9), np.uint8)),
                instance_from_arrays("broken", "size", image, np.ones((9, 9), np.uint8)),
                dataclasses.replace(
                    instance_from_arrays("broken", "none", image, image[..., 0]),
                    decode_image=lambda data: None,
                ),
            ]

    frame = isegbench.run(nearest_seed, Broken(), clicks=2).traces
    assert frame.groupby("instance").status.last().to_dict() == {
        "disc0": "ok",
        "empty": "data-failed",
        "size": "data-failed",
        "none": "data-failed",
    }
    assert frame[frame.status == "data-failed"].click.tolist() == [0, 0, 0]


def test_tensors_are_scored_like_arrays(discs, nearest_seed):
    class Tensors(nearest_seed):
        def predict_one(self, session):
            assert session.previous is None or isinstance(session.previous, torch.Tensor)
            return torch.from_numpy(super().predict_one(session))

    columns = [column for column in STABLE if column != "method"]
    same_columns(
        isegbench.run(Tensors, discs(3), clicks=4).traces,
        isegbench.run(nearest_seed, discs(3), clicks=4).traces,
        columns,
    )


def test_an_error_in_a_simulator_is_not_charged_to_the_method(discs, nearest_seed):
    class Lost(LargestError):
        def correct(self, instance, probabilities, mask, clicks, rng):
            raise RuntimeError("where am I")

    frame = isegbench.run(nearest_seed, discs(1), simulator=Lost()).traces
    assert frame.status.tolist() == ["simulator-failed"]
    assert frame.iou.notna().all()


def test_a_simulator_that_places_no_opening_click_has_failed(discs, nearest_seed):
    class Absent(LargestError):
        def open(self, instance, opening, rng):
            return []

    frame = isegbench.run(nearest_seed, discs(2), simulator=Absent()).traces
    assert frame.status.tolist() == ["simulator-failed"] * 2
    assert frame.click.tolist() == [0, 0]


def test_a_method_that_changes_its_session_changes_no_click(discs, nearest_seed):
    class Forgetful(nearest_seed):
        def predict_one(self, session):
            probabilities = super().predict_one(session)
            session.clicks, session.image = session.clicks[:1], None
            return probabilities

        def batch_key(self, session):
            return None

    class Remembering(Forgetful):
        def predict_one(self, session):
            image = session.memory.setdefault("image", session.image)
            session.image = image
            return super().predict_one(session)

    columns = [column for column in STABLE if column != "method"]
    same_columns(
        isegbench.run(Remembering, discs(3), clicks=5, batch_size=2).traces,
        isegbench.run(nearest_seed, discs(3), clicks=5).traces,
        columns,
    )
