"""`isegbench report`, mounted on an app of its own."""

from collections.abc import Callable

import typer
from typer.testing import CliRunner

from isegbench.harness.cli.report import report

app = typer.Typer()
app.command()(report)


def test_it_writes_the_report_and_prints_the_table(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.5, 0.95], "[bold]m")])
    result = CliRunner().invoke(app, [str(run), "--format", "md, csv", "--published"])
    assert result.exit_code == 0, result.output
    assert "[bold]m" in result.output
    assert "2.00" in result.output
    written = {path.name for path in (run / "report").iterdir()}
    assert {"leaderboard.md", "leaderboard.csv", "published.csv", "curves.png"} <= written
    assert not {"leaderboard.tex", "index.html"} & written


def test_help_has_examples() -> None:
    result = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"})
    lines = [line.strip(" │") for line in result.output.splitlines()]
    assert "isegbench report results/runs/demo" in lines
    assert "isegbench report results/runs/demo --format md,csv" in lines
