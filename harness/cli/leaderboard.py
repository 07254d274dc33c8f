"""`isegbench leaderboard`: merge several runs into one leaderboard."""

from pathlib import Path
from typing import Annotated

import typer


def leaderboard(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Run directories, or folders of them.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str, typer.Option(metavar="LIST", help="The formats to write to --out: md, csv, tex.")
    ] = "md,csv,tex",
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for leaderboard.*; without it, the table is only printed."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="The metrics to show, such as NoC@90,NoF@95,AuC; or all."
        ),
    ] = None,
    intervals: Annotated[
        bool | None,
        typer.Option(
            "--intervals/--no-intervals",
            help="Show 95% bootstrap intervals; by default only in files.",
            show_default=False,
        ),
    ] = None,
    published: Annotated[
        bool, typer.Option("--published", help="Add published numbers, marked, to the files.")
    ] = False,
    allow_mixed_protocols: Annotated[
        bool,
        typer.Option(
            "--allow-mixed-protocols",
            help="Make a table for each protocol when the runs have different ones.",
        ),
    ] = False,
) -> None:
    """Merge runs into one leaderboard.

    One table has only runs with the same simulator, budget, stopping and instances. For other runs
    the command names the difference and stops; with --allow-mixed-protocols it makes a table for
    each protocol.

    Examples:

    \b
      isegbench leaderboard results/runs
      isegbench leaderboard results/runs/* --out results/leaderboards/mine --format md,csv
      isegbench leaderboard results/runs/ritm results/runs/fbrs --metrics NoC@90,AuC --intervals
    """
    from rich.console import Console

    from ..report.results.runs import find_runs
    from ..report.tables.table import SHOWN
    from ..report.tables.terminal import terminal_table
    from ..report.tables.write_tables import merged_leaderboard, write_leaderboard

    shown = None if metrics is None else [name.strip() for name in metrics.split(",")]
    runs = find_runs(directories)
    frame, groups = merged_leaderboard(runs, allow_mixed_protocols)
    Console().print(terminal_table(frame, shown, bool(intervals)))
    if out is not None:
        inside = True if intervals is None else intervals
        write_leaderboard(out, frame, groups, format.split(","), published, shown or SHOWN, inside)
        typer.echo(f"\nLeaderboard in {out}")
