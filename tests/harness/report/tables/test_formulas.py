"""No cell of a CSV file is a formula in a spreadsheet, and all read back the same."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import isegbench
from isegbench.harness.files import escape_cell, read_cell
from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.report.tables.write_tables import csv_text
from isegbench.harness.simulators.replay import read_clicks

FORMULAS = [
    "=cmd|' /C calc'!A0",
    "+1",
    "-1+2",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "'=1",
    "''",
    "'a",
    "a=b",
]


@given(st.one_of(st.text(), st.sampled_from(FORMULAS), st.text("=+-@\t\r'a", max_size=4)))
def test_every_text_comes_back(text):
    written = escape_cell(text)
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert read_cell(written) == text


def test_text_alone_is_escaped():
    frame = pd.DataFrame({"name": FORMULAS, "value": [-1.5] * 10, "flag": [True] * 10})
    frame["kind"] = pd.Categorical(FORMULAS)
    frame["mixed"] = [None, -3, *FORMULAS[:8]]
    cells = list(csv.DictReader(io.StringIO(csv_text(frame), newline="")))
    assert [read_cell(row["name"]) for row in cells] == FORMULAS
    assert [read_cell(row["kind"]) for row in cells] == FORMULAS
    assert {row["value"] for row in cells} == {"-1.5"}
    assert [row["mixed"] for row in cells][:3] == ["", "-3", "'" + FORMULAS[0]]
    for row in cells:
        assert not row["name"].startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize("label", ["=1+1", "@m", "+m", "-m"])
def test_leaderboard_and_traces_read_back(tmp_path, label):
    out = tmp_path / "run"
    method = {"name": "nearest-click", "label": label}
    isegbench.run(method, "samples", limit=2, clicks=2, out=out)
    frame = leaderboard(out)
    assert frame["method"].tolist() == [label]
    path = tmp_path / "leaderboard.csv"
    path.write_text(csv_text(frame), encoding="utf-8")
    assert f"'{label}," in path.read_text()
    pd.testing.assert_frame_equal(read_leaderboard(path), frame, check_exact=True)


def test_clicks_read_back(tmp_path):
    path = tmp_path / "clicks.csv"
    names = ["=x", "'=y", "-1", "z"]
    frame = pd.DataFrame({"instance": names, "y": 1, "x": 2, "kind": "positive"})
    path.write_text(csv_text(frame), encoding="utf-8")
    assert [name for _, name in read_clicks(path, {})] == names
