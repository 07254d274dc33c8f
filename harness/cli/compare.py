"""`isegbench compare`: compare methods with a baseline, with intervals and a permutation test."""

from pathlib import Path
from typing import Annotated

import typer


def compare(
    directories: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR", help="Run directories; merged if comparable.", show_default=False
        ),
    ],
    baseline: Annotated[str, typer.Option(help="The method to compare all others with.")],
    metric: Annotated[
        list[str] | None,
        typer.Option(help="NoC@t, NoF@t, mIoU@k, mBIoU@k or AuC; default NoC@90. Repeatable."),
    ] = None,
    format: Annotated[
        str, typer.Option(metavar="table|md|csv", help="The format of the output.")
    ] = "table",
    out: Annotated[
        Path | None, typer.Option(help="Write to this file instead of the terminal.")
    ] = None,
) -> None:
    """Compare methods with a baseline on the instances that both have a score on.

    Prints the mean difference with its paired bootstrap interval, the p-value of a sign-flip
    permutation test, and the numbers of instances on which each method wins, ties and loses.

    Examples:

    \b
      isegbench compare results/runs/classical --baseline grabcut
      isegbench compare results/runs/ritm results/runs/fbrs --baseline ritm \\
          --metric NoC@85 --metric mIoU@5 --format md
    """
    from rich.console import Console

    from ..errors import UserError, nearest
    from ..files import write_whole
    from ..report.results.runs import find_runs, load_results
    from ..report.tables.comparison import comparison, comparison_tables
    from ..report.tables.markdown import markdown_section
    from ..report.tables.terminal import printed
    from ..report.tables.write_tables import csv_text

    formats = ("table", "md", "csv")
    if format not in formats:
        raise UserError(f"unknown format {format!r}: {nearest(format, formats)}")
    frame = comparison(load_results(find_runs(directories)), baseline, metric or ["NoC@90"])
    if format == "table" and out is None:
        Console().print(printed(comparison_tables(frame)))
        return
    if format == "csv":
        text = csv_text(frame)
    else:
        text = "\n".join(markdown_section(table) for table in comparison_tables(frame))
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_whole(out, text)
        typer.echo(str(out))
