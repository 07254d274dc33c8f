"""`isegbench report`: write leaderboard, curves and page from stored traces."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR",
            help="Run directories. Several must have the same protocol; the report of all is "
            "written to the first.",
            show_default=False,
        ),
    ],
    format: Annotated[
        str,
        typer.Option(metavar="LIST", help="The formats to write: html (the page), md, csv, tex."),
    ] = "html,md,csv,tex",
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Show published numbers on the same data sets below the measured ones, marked.",
        ),
    ] = False,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="The metrics to show, such as NoC@90,NoF@95,AuC; or all."
        ),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals/--no-intervals", help="Show 95% bootstrap intervals in the files."
        ),
    ] = True,
    pictures: Annotated[
        int,
        typer.Option(
            min=0,
            help="First draw the traces of this many instances of each run, on which its first two "
            "methods differ most. Images and methods are needed, as for `isegbench show`.",
        ),
    ] = 0,
) -> None:
    """Write the leaderboard, the figures and the page of a run to DIR/report; print the table.

    DIR/report/index.html is the whole report in one file that needs no network. It includes the
    pictures that `isegbench show` and `isegbench gallery` have drawn.

    Examples:

    \b
      isegbench report results/runs/demo
      isegbench report results/runs/ritm results/runs/fbrs --published
      isegbench report results/runs/demo --format md,csv
      isegbench report results/runs/demo --pictures 12
    """
    from rich.console import Console

    from ..report.results.runs import load_run
    from ..report.tables.table import SHOWN
    from ..report.tables.terminal import terminal_table
    from ..report.write import write_report

    runs = [load_run(directory, categorical=True) for directory in directories]
    if pictures:
        from ..report.gallery.gallery import draw_pictures

        # The page belongs to the first run, and so do the pictures.
        for directory in directories:
            draw_pictures(directory, pictures, out=directories[0])
    shown = None if metrics is None else [name.strip() for name in metrics.split(",")]
    written = write_report(runs, format.split(","), published, shown or SHOWN, intervals)
    console = Console()
    console.print(terminal_table(written.leaderboard, shown))
    console.print(f"\nReport in {written.folder}", markup=False, highlight=False, soft_wrap=True)
