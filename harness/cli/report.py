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
    metrics: Annotated[
        str | None,
        typer.Option(metavar="LIST", help="What tables show, such as NoC@90,NoF@95,AuC; or all."),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option("--intervals/--no-intervals", help="95% bootstrap intervals in the files."),
    ] = True,
    pictures: Annotated[
        int,
        typer.Option(
            min=0,
            help="First draw the traces of so many instances of each run: those on which its "
            "first two methods differ most. Needs images and methods, as `isegbench show` does.",
        ),
    ] = 0,
) -> None:
    """Write the leaderboard, the figures and the page of a run to DIR/report; print the table.

    DIR/report/index.html is the whole report in one file that needs no network. Pictures that
    `isegbench show` and `isegbench gallery` have drawn before are in it.

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
