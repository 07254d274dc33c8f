"""The leaderboard's numbers, counts, merging, and its way to CSV and back."""

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.report.results.runs import load_run
from isegbench.harness.report.tables.write_tables import csv_text

WEIGHTS = {"name": "ckpt_sbd.pth", "sha256": "0123456789abcdef" * 4, "trained_on": ["sbd"]}


def test_a_row_by_hand(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.5, 0.86, 0.92], instance="a"),
            trace([0.5, 0.6, 0.7, 0.8, 0.9], instance="b"),
            trace([0.4, 0.5, None], instance="c", status="method-failed"),
            trace([], instance="d", status="data-failed"),
            trace([0.9, 0.9], instance="e", status="simulator-failed"),
        ]
    )
    (row,) = leaderboard(run).to_dict("records")
    assert row["NoC@85"] == pytest.approx((2 + 5 + 5) / 3)
    assert row["NoC@90"] == pytest.approx((3 + 5 + 5) / 3)
    assert row["NoF@90"] == 1
    assert row["mIoU@1"] == pytest.approx((0.5 + 0.5 + 0.4) / 3)
    assert row["mIoU@3"] == pytest.approx((0.92 + 0.7 + 0) / 3)
    assert row["mIoU@5"] == pytest.approx((0.92 + 0.9 + 0) / 3)
    assert math.isnan(row["mIoU@10"])
    assert (row["instances"], row["traces"], row["planned"]) == (3, 5, 5)
    assert (row["failures"], row["excluded"]) == (1, 2)


def test_other_targets_can_be_asked_for(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.5, 0.86, 0.92, 0.96])])
    (row,) = leaderboard(run, noc=(80, 95), nof=(95, 99), miou=(4,)).to_dict("records")
    assert (row["NoC@80"], row["NoC@95"], row["NoF@95"], row["NoF@99"]) == (2, 4, 0, 1)
    assert row["mIoU@4"] == 0.96
    assert "NoC@90" not in row


def test_nof_is_the_mean_over_the_seeds(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.95], instance="a", seed=0),
            trace([0.5], instance="a", seed=1),
            trace([0.5], instance="b", seed=0),
            trace([0.5], instance="b", seed=1),
        ],
        seeds=2,
    )
    (row,) = leaderboard(run).to_dict("records")
    assert row["NoF@90"] == 1.5
    assert (row["seeds"], row["instances"], row["traces"], row["planned"]) == (2, 2, 4, 4)
    assert row["NoC@90"] == (1 + 5 + 5 + 5) / 4


def test_a_stopped_run_knows_nothing_above(write_run: Callable, trace: Callable) -> None:
    (row,) = leaderboard(write_run([trace([0.5, 0.86])], stop_at=0.85)).to_dict("records")
    assert row["NoC@85"] == 2
    assert all(math.isnan(row[name]) for name in ("NoC@90", "NoF@90", "mIoU@1", "mIoU@5"))
    (row,) = leaderboard(write_run([trace([0.5, 0.9])], "b", stop_at=0.9)).to_dict("records")
    assert (row["NoC@90"], row["NoF@90"]) == (2, 0)


def test_planned_but_absent_methods_have_a_row(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.9])], methods={"late": {}})
    late = leaderboard(run).set_index("method").loc["late"]
    assert (late["traces"], late["planned"], late["instances"]) == (0, 1, 0)
    assert math.isnan(late["NoC@85"])
    assert math.isnan(late["NoF@90"])


def test_best_first_within_each_data_set(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.1, 0.2], "slow", "zebra"),
            trace([0.95], "fast", "zebra"),
            trace([0.1, 0.3], "slower", "zebra"),
            trace([0.95], "slow", "ant"),
            trace([0.1], "fast", "ant"),
            trace([0.1, 0.95], "slower", "ant"),
        ],
        clicks=20,
    )
    frame = leaderboard(run)
    order = list(zip(frame["dataset"], frame["method"], strict=True))
    assert order[:3] == [("zebra", "fast"), ("zebra", "slower"), ("zebra", "slow")]
    assert order[3:] == [("ant", "slow"), ("ant", "slower"), ("ant", "fast")]


def test_contamination_is_by_the_data_sets_own_name(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [trace([0.9], dataset="sbd[0:1]"), trace([0.9], dataset="davis")],
        methods={"m": {"weights": WEIGHTS}},
    )
    marks = leaderboard(run).set_index("dataset")["contaminated"]
    assert marks.to_dict() == {"sbd[0:1]": True, "davis": False}


def test_csv_reads_back_to_the_same_numbers(
    write_run: Callable, trace: Callable, tmp_path: Path
) -> None:
    odd = 'file.py:My,"odd" Method:a=1,b=x'
    run = write_run(
        [
            trace([None, 1 / 3, 0.1 + 0.2], odd, instance="a"),
            trace([None, 2 / 7, 0.95], odd, instance="b", status="timed-out"),
            trace([math.pi / 4], "NA", instance="a"),
            trace([math.e / 3], "NA", instance="b"),
        ],
        methods={odd: {"weights": WEIGHTS, "departures": ["one\nline", "two"]}, "null": {}},
    )
    frame = leaderboard(run)
    path = tmp_path / "x.csv"
    path.write_text(csv_text(frame), encoding="utf-8")
    pd.testing.assert_frame_equal(read_leaderboard(path), frame, check_exact=True)


def test_what_is_no_leaderboard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a leaderboard"):
        read_leaderboard(tmp_path / "absent.csv")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not a leaderboard"):
        read_leaderboard(tmp_path / "x.csv")


def test_runs_of_different_methods_and_data_sets_merge(
    write_run: Callable, trace: Callable
) -> None:
    a = write_run([trace([0.9], "m", "davis")], "a")
    b = write_run([trace([0.8], "n", "davis"), trace([0.7], "n", "grabcut")], "b")
    frame = leaderboard([a, load_run(b)])
    assert set(zip(frame["method"], frame["dataset"], strict=True)) == {
        ("m", "davis"),
        ("n", "davis"),
        ("n", "grabcut"),
    }
    assert frame["traces"].tolist() == frame["planned"].tolist()


def test_runs_of_one_method_merge_when_seeds_differ(write_run: Callable, trace: Callable) -> None:
    a = write_run([trace([0.9], seed=0)], "a", seed=0)
    b = write_run([trace([0.1], seed=1)], "b", seed=1)
    (row,) = leaderboard([a, b]).to_dict("records")
    assert (row["seeds"], row["planned"], row["NoF@90"]) == (2, 2, 0.5)
    c = write_run([trace([0.1], seed=1)], "c", seed=1)
    with pytest.raises(UserError, match=r"both hold m on grabcut with seed 1") as caught:
        leaderboard([a, b, c])
    assert str(b) in str(caught.value)
    assert str(c) in str(caught.value)
    with pytest.raises(UserError, match="both hold m"):
        leaderboard([a, a])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"simulator": "random-error"}, "simulator is 'largest-error' in the first"),
        ({"clicks": 7}, "clicks is 5 in the first and 7 in the second"),
        ({"stop_at": 0.9}, "stop_at is not set in the first and 0.9 in the second"),
        ({"time_limit": 3.0}, "time_limit is not set in the first and 3.0"),
        ({"datasets": {"grabcut": {"fingerprint": "x"}}}, "data set grabcut: fingerprint"),
        ({"datasets": {"grabcut": {"planned": 9}}}, "data set grabcut: planned is 1 .* 9"),
        ({"methods": {"m": {"threshold": 0.8}}}, "method m: threshold is 0.5 .* 0.8"),
        ({"methods": {"m": {"weights": WEIGHTS}}}, "method m: weights"),
    ],
)
def test_incomparable_runs_are_refused(
    write_run: Callable, trace: Callable, change: dict, said: str
) -> None:
    a = write_run([trace([0.9])], "a")
    b = write_run([trace([0.9], seed=1)], "b", **({"seed": 1} | change))
    with pytest.raises(UserError, match=said):
        leaderboard([a, b])


def test_what_is_no_run_is_refused(tmp_path: Path, write_run: Callable, trace: Callable) -> None:
    with pytest.raises(UserError, match="not a run"):
        leaderboard(tmp_path)
    with pytest.raises(UserError, match="no run given"):
        leaderboard([])
    run = write_run([trace([0.9])], "a")
    other = write_run([trace([0.9], "n")], "b")
    (run / "manifest.json").write_text((other / "manifest.json").read_text())
    with pytest.raises(UserError, match="traces are of method m"):
        leaderboard(run)
