"""The report's files: Markdown, LaTeX, curves, and what they say about the numbers."""

import doctest
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from isegbench.harness import files
from isegbench.harness.errors import UserError
from isegbench.harness.report.results import training_overlap
from isegbench.harness.report.results.leaderboard import leaderboard, read_leaderboard
from isegbench.harness.report.results.published import read_published
from isegbench.harness.report.tables import latex, markdown
from isegbench.harness.report.tables.published_tables import published_tables
from isegbench.harness.report.tables.table import DASH, Table, measured_tables
from isegbench.harness.report.tables.terminal import terminal_table
from isegbench.harness.report.write import write_report

ODD = r"my.py:A|b*c_<i>:k=$1&2%#{\x}~^[red]"
WEIGHTS = {"name": "ckpt_sbd.pth", "sha256": "0123456789abcdef" * 4, "trained_on": ["sbd"]}


@pytest.fixture
def run(write_run: Callable, trace: Callable) -> Path:
    """Six methods on two data sets, with everything a report has to remark on."""
    traces = []
    for dataset in ("grabcut", "sbd[0:2]"):
        for name in ("a", "b"):
            traces += [
                trace([0.5, 0.86, 0.95], "good", dataset, name),
                trace([None, None, 0.7, 0.8], ODD, dataset, name),
                trace([1.0], "oracle", dataset, name),
                trace([0.3, 0.4, 0.5, 0.6, 0.7], "weak", dataset, name),
            ]
    traces.append(trace([0.99], "lucky", "grabcut", "a"))
    traces.append(trace([0.2, None], "broken", "grabcut", "a", status="method-failed"))
    traces.append(trace([], "broken", "grabcut", "b", status="data-failed"))
    return write_run(
        traces,
        methods={
            "good": {"weights": WEIGHTS, "departures": ["zoom-in at 1.4", "threshold 0.49"]},
            "oracle": {"sees_truth": True},
            ODD: {"corrections": False},
        },
        clicks=20,
    )


def parse_markdown(text: str) -> list[list[list[str]]]:
    """Every table of a Markdown text as rows of cells, by a Markdown parser."""
    tables: list[list[list[str]]] = []
    inside = False
    for token in MarkdownIt("commonmark").enable("table").parse(text):
        if token.type in ("table_open", "table_close"):
            inside = token.type == "table_open"
            tables += [[]] if inside else []
        elif token.type == "tr_open":
            tables[-1].append([])
        elif token.type == "inline" and inside:
            shown = "".join(
                {"strong_open": "<b>", "strong_close": "</b>"}.get(child.type, child.content)
                for child in token.children or []
            )
            tables[-1][-1].append(shown)
    return tables


@pytest.mark.slow
def test_markdown_tables_show_the_numbers(run: Path) -> None:
    folder = write_report([run], intervals=False).folder
    assert folder == run / "report"
    text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    grabcut, sbd = parse_markdown(text)
    assert grabcut[0] == [
        *("Method", "NoC@85", "NoC@90", "NoF@90"),
        *("mIoU@1", "mIoU@3", "mIoU@5", "mIoU@10", "mIoU@20", "Instances", "Failures"),
    ]
    rows = {re.sub(r" ‡?[¹²³⁴⁵⁶⁷⁸⁹ ]+$", "", row[0]): row[1:] for row in grabcut[1:]}
    good = ["2.00", "3.00", "0", "50.0", "95.0", "95.0", "95.0", "95.0"]
    assert rows["good"] == [*(f"<b>{value}</b>" for value in good), "2", "0"]
    assert rows["oracle"][:3] == ["1.00", "1.00", "0"]
    assert rows["lucky"][:2] == ["1.00", "1.00"], "an incomplete row must not be bold"
    assert rows["lucky"][8].startswith("1 of 2")
    assert rows[ODD][3:5] == [DASH, "70.0"]
    assert rows["broken"] == ["20.00", "20.00", "1", "20.0", *["0.0"] * 4, rows["broken"][8], "1"]
    headings = [row[0] for row in sbd[1:] if not any(row[1:])]
    assert headings == ["Without trained weights", "Trained on sbd"]
    assert len(sbd) == 1 + 6 + len(headings)
    assert "![Mean IoU against clicks on grabcut](curves-grabcut.png)" in text


def test_notes_are_where_they_belong(run: Path) -> None:
    grabcut, sbd = measured_tables(leaderboard(run))

    def notes(table: Table, method: str) -> str:
        (row,) = [row for row in table.rows if row.cells[0].text == method]
        return " ".join(table.notes[n - 1] for cell in row.cells for n in cell.notes)

    assert "Weights ckpt_sbd.pth (sha256 0123456789ab), trained on sbd." in notes(grabcut, "good")
    assert "zoom-in at 1.4; threshold 0.49." in notes(grabcut, "good")
    assert "too good" not in notes(grabcut, "good")
    assert "too good" in notes(sbd, "good")
    assert "Sees the ground truth" in notes(grabcut, "oracle")
    assert "Predicts once" in notes(grabcut, ODD)
    assert "1 of 2 traces are finished" in notes(grabcut, "lucky")
    assert "1 trace is left out" in notes(grabcut, "broken")
    assert notes(grabcut, "weak") == ""
    assert grabcut.remarks == [
        f"{DASH}: not defined (the method had not predicted yet, its opening takes more clicks)."
    ]
    assert sbd.remarks[0] == "‡ Trained on this data set."
    assert "no trace counts yet" in sbd.remarks[1]


def test_a_copy_that_lacks_instances_says_so(write_run: Callable, trace: Callable) -> None:
    entry = {"instances": 1, "planned": 1, "published": 50}
    run = write_run([trace([0.95])], datasets={"grabcut": entry})
    frame = leaderboard(run)
    (table,) = measured_tables(frame)
    assert table.remarks[0].startswith(
        "Not the whole data set: 1 of 50 instances (the copy scored here holds 1)."
    )
    (block,) = published_tables(read_published(), ["grabcut"], frame)
    assert not any(row.measured for row in block.rows)


def test_a_subset_says_so(write_run: Callable, trace: Callable) -> None:
    entry = {"instances": 50, "planned": 1, "subset": "the first 1"}
    run = write_run([trace([0.95])], datasets={"grabcut": entry})
    (table,) = measured_tables(leaderboard(run))
    assert table.remarks[0].startswith("Not the whole data set: 1 of 50 instances (the first 1).")
    assert any(cell.bold for cell in table.rows[0].cells)


def test_numbers_that_print_alike_are_equally_bold(write_run: Callable, trace: Callable) -> None:
    traces = [trace([0.95000], "a"), trace([0.95001], "b"), trace([0.2], "c")]
    (table,) = measured_tables(leaderboard(write_run(traces)))
    bold = {row.cells[0].text: [cell.bold for cell in row.cells] for row in table.rows}
    assert bold["a"] == bold["b"]
    assert sum(bold["a"]) == 6
    assert not any(bold["c"])


def test_a_stopped_run_says_so_and_has_no_curves(write_run: Callable, trace: Callable) -> None:
    folder = write_report([write_run([trace([0.5, 0.86])], stop_at=0.85)]).folder
    text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    assert "stopped each trace at IoU 0.85: NoC and NoF above it, and mIoU, are not" in text
    (table,) = parse_markdown(text)
    assert table[1][1:] == ["<b>2.00</b>", *[DASH] * 7, "1", "0"]
    assert not list(folder.glob("curves*"))


@pytest.mark.slow
def test_csv_of_a_report_is_the_leaderboard(run: Path) -> None:
    folder = write_report([run], ["csv"]).folder
    assert not (folder / "leaderboard.md").exists()
    frame = leaderboard(run)
    back = read_leaderboard(folder / "leaderboard.csv")
    assert back.equals(frame)


@pytest.mark.slow
def test_published_numbers_stand_apart_and_are_marked(run: Path) -> None:
    folder = write_report([run], published=True).folder
    text = (folder / "leaderboard.md").read_text(encoding="utf-8")
    measured, block, _, sbd = parse_markdown(text)
    assert block[0][:3] == ["Trained on", "Method", "Backbone"]
    assert len(block) > 30
    ours = [row for row in block[1:] if "†" not in row[1]]
    assert block[1][0] == "measured here"
    assert [row[1].split()[0] for row in ours] == ["good", ODD, "weak", "broken"]
    assert block.index(ours[-1]) == len(ours)
    noc = block[0].index("NoC@85")
    assert [row[noc] for row in ours] == ["2.00", "20.00", "20.00", "20.00"]
    assert not any("†" in cell for row in measured for cell in row)
    graph_cut = next(row for row in block if row[1].startswith("Graph cut"))
    assert graph_cut[block[0].index("NoC@90")] == ">20"
    assert graph_cut[block[0].index("IoU@4")] == "59.3"
    assert "Source: IOG (CVPR 2020) presentation, Table 1." in text
    assert "Published numbers, not measured here" in text
    assert len(sbd) > 30
    groups = [row[0] for row in block[1:] if row[0]]
    assert len(groups) == len(set(groups)) > 3
    published = (folder / "published.csv").read_text(encoding="utf-8")
    assert "davis" not in published
    assert ">20" in published
    assert "published" not in (folder / "leaderboard.csv").read_text(encoding="utf-8").lower()


@pytest.mark.slow
def test_published_numbers_need_to_be_asked_for(run: Path) -> None:
    folder = write_report([run]).folder
    assert "†" not in (folder / "leaderboard.md").read_text(encoding="utf-8")
    assert not (folder / "published.csv").exists()


@pytest.mark.slow
def test_latex_is_balanced_and_escaped(run: Path) -> None:
    folder = write_report([run], ["tex"], published=True).folder
    text = (folder / "leaderboard.tex").read_text(encoding="utf-8")
    assert text.isascii()
    plain = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert plain.count("{") == plain.count("}")
    begun = re.findall(r"\\begin\{(\w+)\}", text)
    ended = re.findall(r"\\end\{(\w+)\}", text)
    assert sorted(begun) == sorted(ended)
    assert begun.count("table") == 2
    for bare in "#~^":
        assert bare not in plain.replace("}~", "}")
    tables = re.findall(r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    for _, body in tables:
        lines = [line for line in body.split("\n") if " & " in line]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {10}
    assert r"\textbf{2.00}" in text
    assert r"\textdagger" in text


def test_latex_compiles(run: Path, tmp_path: Path) -> None:
    if shutil.which("pdflatex") is None:
        pytest.skip("needs pdflatex")
    write_report([run], ["tex"], published=True)
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{array,booktabs,longtable}\n"
        f"\\begin{{document}}\\input{{{run}/report/leaderboard.tex}}\\end{{document}}\n"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]


def test_escapes_take_any_text() -> None:
    assert latex.escape("a\nb\u4e2d") == "a b(U+4E2D)"
    assert latex.escape("\\") == r"\textbackslash{}"
    text = r"a|b `c` _d_ <e> \ * [f](g) & coco_mval ~~h~~"
    html = (
        MarkdownIt("commonmark")
        .enable(["table", "strikethrough"])
        .render(f"| x |\n| --- |\n| {markdown.escape(text)} |\n")
    )
    cell = re.search(r"<td>(.*)</td>", html)
    assert cell is not None
    shown = cell[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert shown == text


def test_terminal_table_takes_80_columns_and_reads_no_markup(run: Path) -> None:
    console = Console(file=StringIO(), width=80)
    console.print(terminal_table(leaderboard(run)))
    text = console.file.getvalue()  # type: ignore
    assert max(map(len, text.splitlines())) <= 80
    good = next(line for line in text.splitlines() if line.startswith("good"))
    assert good.split()[-2:] == ["2", "0"]
    assert "1/2" in text
    assert "[red]" in re.sub(r"\s{2,}.*\n", "", text)


def test_formats_are_checked_before_anything_is_written(run: Path) -> None:
    with pytest.raises(UserError, match="unknown report format 'txe': did you mean 'tex'"):
        write_report([run], ["md", "txe"])
    with pytest.raises(UserError, match="no report format given"):
        write_report([run], [""])
    assert not (run / "report").exists()


def test_several_runs_report_into_the_first(write_run: Callable, trace: Callable) -> None:
    a = write_run([trace([0.9], "m")], "a")
    b = write_run([trace([0.95], "n")], "b")
    assert write_report([a, b], ["md"]).folder == a / "report"
    assert not (b / "report").exists()
    (table,) = parse_markdown((a / "report" / "leaderboard.md").read_text(encoding="utf-8"))
    assert [row[0] for row in table[1:]] == ["n", "m"]


def test_file_names_are_safe_and_distinct() -> None:
    odd = ["a/b", "a:b", "A-B", "..", "x" * 300, "x" * 301, "grabcut", "é"]
    names = files.file_names(odd)
    assert names["grabcut"] == "grabcut"
    assert len({stem.lower() for stem in names.values()}) == len(odd)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}", s) for s in names.values())


def test_docstring_examples_run() -> None:
    for module in (files, latex, markdown, training_overlap):
        result = doctest.testmod(module)
        assert result.failed == 0
        assert result.attempted > 0


@pytest.mark.slow
def test_a_report_needs_neither_torch_nor_ray(run: Path) -> None:
    code = (
        "import sys; from isegbench.harness.report.write import write_report; "
        f"write_report([{str(run)!r}]); "
        "sys.exit(', '.join({'torch', 'ray', 'matplotlib.pyplot'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
