"""`isegbench leaderboard`, `compare`, `export` and `time` from outside."""

import subprocess
import sys

import pandas as pd
import pytest

from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.store.traces import read_traces


def isegbench(*args):
    command = [sys.executable, "-m", "isegbench", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli") / "run"
    done = isegbench(
        *("run", "--method", "nearest-click", "--method", "oracle", "--dataset", "samples[0:8]"),
        *("--clicks", 3, "--boundary-iou", "--save-masks", "--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert len(list((out / "masks").glob("*.json"))) == 2
    return out


def test_export_holds_every_click(run, tmp_path):
    done = isegbench("export", run)
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(run / "export" / "traces.csv")
    traces = read_traces(run)
    same = pd.DataFrame(frame[list(traces)])
    pd.testing.assert_frame_equal(same, traces, check_dtype=False, check_exact=True)
    images = pd.read_parquet(run / "instances.parquet").set_index("instance")["image"]
    assert frame["image"].tolist() == images[frame["instance"]].tolist()
    path = tmp_path / "x.parquet"
    assert isegbench("export", run, "--format", "parquet", "--out", path).returncode == 0
    same = pd.DataFrame(pd.read_parquet(path)[list(traces)])
    pd.testing.assert_frame_equal(same, traces, check_exact=True)
    wrong = isegbench("export", run, "--format", "xls")
    assert wrong.returncode == 2
    assert "unknown format 'xls'" in wrong.stderr


def test_compare_prints_and_writes(run, tmp_path):
    done = isegbench("compare", run, "--baseline", "nearest-click", "--metric", "mIoU@3")
    assert done.returncode == 0, done.stderr
    assert "against nearest-click" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    path = tmp_path / "x.csv"
    options = ("--metric", "NoC@85", "--metric", "mBIoU@3", "--format", "csv", "--out", path)
    assert isegbench("compare", run, "--baseline", "nearest-click", *options).returncode == 0
    frame = pd.read_csv(path)
    assert frame["metric"].tolist() == ["NoC@85", "mBIoU@3"]
    board = leaderboard(run).set_index("method")
    assert frame["value"].tolist() == [1.0, 1.0]
    assert frame["baseline_value"][0] == board.loc["nearest-click", "NoC@85"]
    wrong = isegbench("compare", run, "--baseline", "nearest")
    assert wrong.returncode == 2
    assert "did you mean 'nearest-click'" in wrong.stderr


def test_leaderboard_takes_a_folder_of_runs(run, tmp_path):
    done = isegbench("leaderboard", run.parent, "--out", tmp_path, "--metrics", "NoC@95,AuC")
    assert done.returncode == 0, done.stderr
    assert "AuC" in done.stdout
    found = {path.name for path in tmp_path.iterdir()}
    assert found == {"leaderboard.md", "leaderboard.csv", "leaderboard.tex"}
    assert read_leaderboard(tmp_path / "leaderboard.csv").equals(leaderboard(run))
    text = (tmp_path / "leaderboard.md").read_text()
    assert "<sub>" in text
    assert "| Method | NoC@95 | AuC | Instances | Failures |" in text
    assert isegbench("leaderboard", run, "--out", tmp_path, "--no-intervals").returncode == 0
    assert "<sub>" not in (tmp_path / "leaderboard.md").read_text()
    wrong = isegbench("leaderboard", run, "--metrics", "NoC@97")
    assert wrong.returncode == 2


def test_time_gives_the_leaderboard_seconds(run):
    done = isegbench("time", run, "--method", "nearest-click", "--instances", 2)
    assert done.returncode == 0, done.stderr
    assert "nearest-click" in done.stdout
    frame = leaderboard(run).set_index("method")
    assert frame.loc["nearest-click", "SPC"] > 0
    assert pd.isna(frame.loc["oracle", "SPC"])
