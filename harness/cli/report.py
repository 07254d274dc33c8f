"""`isegbench report`: leaderboard and curves from stored traces."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Run directories. Several are merged where their protocols agree, and the "
            "report is written to the first.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str, typer.Option(metavar="LIST", help="What to write: html (the page), md, csv, tex.")
    ] = "html,md,csv,tex",
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Show published numbers on the same data sets below the measured ones, marked.",
        ),
    ] = False,
) -> None:
    """Write the leaderboard and the curves of a run to DIR/report, and print the table.

    Examples:

    \b
      isegbench report results/runs/demo
      isegbench report results/runs/ritm results/runs/fbrs --published
      isegbench report results/runs/demo --format md,csv
    """
    from rich.console import Console

    from ..report.leaderboard import leaderboard
    from ..report.runs import load_run
    from ..report.terminal import terminal_table
    from ..report.write import write_report

    runs = [load_run(directory) for directory in directories]
    folder = write_report(runs, format.split(","), published)
    console = Console()
    console.print(terminal_table(leaderboard(runs)))
    console.print(f"\nReport in {folder}", markup=False, highlight=False, soft_wrap=True)
