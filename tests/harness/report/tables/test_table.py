"""What the tables add to the numbers: intervals, groups, marks; HTML; many runs in one."""

import doctest
import html.parser
import re
import subprocess
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from rich.console import Console

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.report.results.runs import Incomparable, find_runs, load_run
from isegbench.harness.report.tables import html as html_module
from isegbench.harness.report.tables.html import html_table
from isegbench.harness.report.tables.latex import latex_document
from isegbench.harness.report.tables.markdown import markdown_table
from isegbench.harness.report.tables.table import measured_tables
from isegbench.harness.report.tables.terminal import terminal_table
from isegbench.harness.report.tables.write_tables import merged_leaderboard, write_leaderboard
from isegbench.harness.store.timing import TIMING


def weights(*trained_on: str) -> dict:
    return {"weights": {"name": "w", "sha256": "0" * 64, "trained_on": list(trained_on)}}


@pytest.fixture
def many(write_run: Callable, trace: Callable) -> Path:
    """Four methods of three training sets on 30 instances."""
    rng = np.random.default_rng(0)
    traces = []
    for method, level in (("plain", 0.5), ("a<b", 0.6), ("c", 0.7), ("d", 0.8)):
        for number in range(30):
            ious = np.sort(rng.uniform(level / 2, 1, 5)).tolist()
            traces.append(trace(ious, method, "sbd", instance=f"i{number:02d}"))
    methods = {"a<b": weights("sbd"), "c": weights("coco", "lvis"), "d": weights("sbd")}
    return write_run(traces, methods=methods)


def test_docstring_examples_run() -> None:
    result = doctest.testmod(html_module)
    assert (result.failed, result.attempted) == (0, 1)


def test_intervals_are_those_of_scipy(many: Path) -> None:
    run = load_run(many)
    for row in leaderboard(many).to_dict("records"):
        mine = run.traces[run.traces["method"] == row["method"]]
        wide = mine.pivot(index="instance", columns="click", values="iou").to_numpy()
        clicks = np.where((wide >= 0.9).any(1), (wide >= 0.9).argmax(1) + 1, 5)
        failed = ~(wide >= 0.85).any(axis=1)
        for name, values, scale in (
            ("NoC@90", clicks, 1),
            ("mIoU@3", wide[:, 2], 1),
            ("NoF@85", failed, 30),
        ):
            assert row[name] == pytest.approx(values.mean() * scale)
            theirs = scipy.stats.bootstrap(
                (values,), np.mean, n_resamples=20_000, method="percentile", rng=0
            ).confidence_interval
            tolerance = 0.06 * (theirs.high - theirs.low) + (1 / 30 if name[:3] != "mIo" else 0)
            assert row[f"{name}_low"] == pytest.approx(theirs.low * scale, abs=scale * tolerance)
            assert row[f"{name}_high"] == pytest.approx(theirs.high * scale, abs=scale * tolerance)


def test_a_report_made_again_has_the_same_intervals(many: Path) -> None:
    pd.testing.assert_frame_equal(leaderboard(many), leaderboard(many), check_exact=True)


def test_rows_stand_in_the_group_of_their_training_set(many: Path) -> None:
    (table,) = measured_tables(leaderboard(many))
    names = [(group, sorted(row.cells[0].text for row in rows)) for group, rows in table.groups()]
    assert names == [
        ("Without trained weights", ["plain"]),
        ("Trained on coco, lvis", ["c"]),
        ("Trained on sbd", ["a<b", "d"]),
    ]
    marks = {row.cells[0].text: row.cells[0].mark for row in table.rows}
    assert marks == {"plain": "", "c": "", "a<b": "‡", "d": "‡"}
    assert "‡ Trained on this data set." in table.remarks
    assert "Departs from the common protocol: a budget of 5 clicks, not 20." in table.remarks


def test_every_format_shows_intervals_groups_and_marks(many: Path) -> None:
    frame = leaderboard(many)
    (table,) = measured_tables(frame, ["NoC@90", "AuC"], intervals=True)
    row = frame[frame["method"] == "d"].iloc[0]
    low, high = f"{row['NoC@90_low']:.2f}", f"{row['NoC@90_high']:.2f}"
    assert low < high
    assert f"<sub>{low}–{high}</sub>" in markdown_table(table)
    assert "| *Trained on sbd* |  |" in markdown_table(table)
    tex = latex_document([table])
    assert rf"{{\tiny {low}--{high}}}" in tex
    assert r"\multicolumn{5}{l}{\textit{Trained on sbd}}" in tex
    assert r"\textsuperscript{\textdaggerdbl," in tex
    console = Console(file=StringIO(), width=80)
    console.print(terminal_table(frame, ["NoC@90", "AuC"], True))
    text = console.file.getvalue()  # type: ignore
    assert f"{low}–{high}" in text
    assert "Trained on sbd" in text
    plain = markdown_table(measured_tables(frame)[0])
    assert "<sub>" not in plain


class Reader(html.parser.HTMLParser):
    """Collects cells of each row, and checks that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_html_is_a_table_and_escaped(many: Path) -> None:
    (table,) = measured_tables(leaderboard(many), intervals=True)
    text = html_table(table)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert reader.rows[0] == table.columns
    assert [row for row in reader.rows if len(row) == 1] == [
        ["Without trained weights"],
        ["Trained on coco, lvis"],
        ["Trained on sbd"],
    ]
    assert sum(len(row) == len(table.columns) for row in reader.rows) == 1 + 4
    assert "a&lt;b" in text
    assert "<b" not in re.sub(r"</?(tbody|b[a-z]+)", "", text)


def test_metrics_can_be_chosen(many: Path) -> None:
    frame = leaderboard(many)
    (table,) = measured_tables(frame, ["AuC", "NoF@95"])
    assert table.columns == ["Method", "AuC", "NoF@95", "Instances", "Failures"]
    assert len(measured_tables(frame, ["all"])[0].columns) == 3 + 4 + 4 + 7 + 1
    with pytest.raises(UserError, match="no metric 'NoC@91' here: did you mean 'NoC@9"):
        measured_tables(frame, ["NoC@91"])


def test_boundary_iou_and_seconds_are_shown_where_there_are_any(tmp_path: Path) -> None:
    out = tmp_path / "run"
    isegbench.run("nearest-click", "samples", limit=2, clicks=2, boundary_iou=True, out=out)
    rows = [("nearest-click", "samples", "x", click, 0.25, "some device", "") for click in (1, 2)]
    rows[0] = (*rows[0][:4], float("nan"), *rows[0][5:])
    pd.DataFrame(rows, columns=list(TIMING)).to_parquet(out / "timing.parquet")
    frame = leaderboard(out)
    traces = isegbench.load_run(out).traces
    second = traces[traces["click"] == 2]
    assert frame["mBIoU@1"].item() == traces[traces["click"] == 1]["boundary_iou"].mean()
    assert frame["mIoU@1"].item() != frame["mBIoU@1"].item()
    assert len(second) == 2
    assert frame["SPC"].item() == 0.125
    (table,) = measured_tables(frame)
    assert {"mBIoU@1", "SPC"} <= set(table.columns)
    assert "Timed on some device; 1 instances." in table.notes
    path = tmp_path / "x.csv"
    path.write_text(frame.to_csv(index=False))
    pd.testing.assert_frame_equal(read_leaderboard(path), frame, check_exact=True)
    console = Console(file=StringIO(), width=80)
    console.print(terminal_table(frame))
    assert "Fail." in console.file.getvalue()  # type: ignore


def test_protocols_are_not_mixed_silently(
    write_run: Callable, trace: Callable, tmp_path: Path
) -> None:
    write_run([trace([0.9, 0.95], "m")], "a")
    write_run([trace([0.8], "n")], "b")
    write_run([trace([0.7], "m")], "c", clicks=7)
    (tmp_path / "no-run").mkdir()
    runs = find_runs([tmp_path, tmp_path / "a"])
    assert [run.directory and run.directory.name for run in runs] == ["a", "b", "c"]
    with pytest.raises(Incomparable, match=r"clicks is 5 in the first and 7.*--allow-mixed"):
        merged_leaderboard(runs)
    frame, groups = merged_leaderboard(runs, allow_mixed=True)
    assert len(groups) == 2
    tables = measured_tables(frame)
    assert [sorted(row.cells[0].text for row in table.rows) for table in tables] == [
        ["m", "n"],
        ["m"],
    ]
    assert ["up to 5" in tables[0].title, "up to 7" in tables[1].title] == [True, True]
    write_leaderboard(tmp_path / "out", frame, groups)
    text = (tmp_path / "out" / "leaderboard.md").read_text()
    assert text.count("Protocol: ") == 2
    back = read_leaderboard(tmp_path / "out" / "leaderboard.csv")
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    labels = re.findall(r"\\label\{(.*?)\}", (tmp_path / "out" / "leaderboard.tex").read_text())
    assert len(set(labels)) == len(labels) == 2
    with pytest.raises(UserError, match="is not a run, nor a folder of runs"):
        find_runs([tmp_path / "no-run"])


def test_latex_with_intervals_and_groups_compiles(many: Path, tmp_path: Path) -> None:
    if subprocess.run(["which", "pdflatex"], capture_output=True).returncode:
        pytest.skip("needs pdflatex")
    frame, groups = merged_leaderboard([load_run(many)])
    write_leaderboard(tmp_path, frame, groups, ["tex"], published=True)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{array,booktabs,longtable}\n"
        "\\begin{document}\\input{leaderboard.tex}\\end{document}\n"
    )
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_run_is_opened_without_being_touched(many: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in many.rglob("*")}
    run = isegbench.load_run(many)
    assert len(run.traces) == 4 * 30 * 5
    assert run.manifest.protocol.clicks == 5
    assert run.instances.empty
    pd.testing.assert_frame_equal(run.leaderboard(), leaderboard(many))
    assert {path: path.stat().st_mtime_ns for path in many.rglob("*")} == before
