import numpy as np
import pandas as pd
import pytest

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.store.traces import read_traces


def clicks_file(tmp_path, rows, suffix="csv"):
    path = tmp_path / f"clicks.{suffix}"
    frame = pd.DataFrame(rows)
    frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    return path


def rows(*clicks, instance="disc0", **more):
    return [{"instance": instance, "y": y, "x": x, "kind": k, **more} for y, x, k in clicks]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_recorded_clicks_are_played_in_order_until_they_end(tmp_path, discs, nearest_seed, suffix):
    played = [(15, 15, "positive"), (2, 3, "negative"), (30.5, 30.25, "negative")]
    path = clicks_file(tmp_path, rows(*played), suffix)
    frame = isegbench.run(nearest_seed, discs(1), simulator=f"replay:{path}").traces
    assert list(zip(frame.y, frame.x, frame.kind, strict=True)) == played
    assert frame.status.tolist() == ["ok"] * 3
    assert frame.iou.notna().all()


def test_a_runs_own_traces_replay_to_the_same_scores(tmp_path, discs, nearest_seed):
    isegbench.run([nearest_seed], [discs(4)], clicks=6, out=tmp_path / "run")
    (file,) = (tmp_path / "run" / "traces").glob("*.parquet")
    first = read_traces(tmp_path / "run")
    again = isegbench.run(nearest_seed, discs(4), simulator=f"replay:{file}", clicks=6).traces
    columns = ["instance", "click", "y", "x", "kind", "iou"]
    pd.testing.assert_frame_equal(pd.DataFrame(first[columns]), pd.DataFrame(again[columns]))


def test_an_instance_without_clicks_costs_itself(tmp_path, discs, nearest_seed):
    path = clicks_file(tmp_path, rows((15, 15, "positive"), dataset="discs"))
    frame = isegbench.run(nearest_seed, discs(2), simulator=f"replay:{path}").traces
    assert frame.set_index("instance").status.to_dict() == {
        "disc0": "ok",
        "disc1": "simulator-failed",
    }


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda d: d / "none.csv", "no such file"),
        (lambda d: clicks_file(d, [{"instance": "a", "y": 1, "x": 2}]), "lacks the column.*kind"),
        (lambda d: clicks_file(d, rows((1, 2, "leftish"))), "'leftish': must be one of"),
        (lambda d: clicks_file(d, rows((None, 2, "positive"))), "clicks without y or x"),
        (
            lambda d: clicks_file(
                d, rows((1, 2, "positive"), seed=0) + rows((1, 2, "positive"), seed=1)
            ),
            "several recordings of disc0: choose one with seed=",
        ),
    ],
)
def test_unfit_files_are_refused(tmp_path, discs, nearest_seed, make, complaint):
    with pytest.raises(UserError, match=complaint):
        isegbench.run(nearest_seed, discs(1), simulator=f"replay:{make(tmp_path)}")


def test_one_of_several_recordings_can_be_chosen(tmp_path, discs, nearest_seed):
    path = clicks_file(
        tmp_path, rows((1, 2, "positive"), seed=0) + rows((3, 4, "positive"), seed=1)
    )
    frame = isegbench.run(nearest_seed, discs(1), simulator=f"replay:{path},seed=1").traces
    assert np.array_equal(frame[["y", "x"]].to_numpy(), [[3.0, 4.0]])


@pytest.mark.parametrize(
    "harm",
    [
        {"kind": "sideways"},
        {"kind": None},
        {"y": float("inf")},
        {"y": float("nan")},
        {"x": "three"},
        {"click": "first"},
    ],
)
def test_a_hostile_file_is_refused_with_its_name(tmp_path, discs, nearest_seed, harm):
    path = clicks_file(tmp_path, [{**rows((1, 2, "positive"))[0], "click": 1, **harm}])
    with pytest.raises(UserError, match=r"replay: .*clicks\.csv"):
        isegbench.run(nearest_seed, discs(1), simulator=f"replay:{path}")
