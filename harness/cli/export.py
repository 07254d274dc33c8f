"""`isegbench export`: write the traces of a run as one tidy file."""

from pathlib import Path
from typing import Annotated

import typer


def export(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    format: Annotated[str, typer.Option(metavar="csv|parquet", help="The file's format.")] = "csv",
    out: Annotated[
        Path | None, typer.Option(help="The file to write; default DIR/export/traces.FORMAT.")
    ] = None,
) -> None:
    """Write all traces of a run as one sorted table, one row for each click.

    Columns: method, dataset, simulator, seed, instance, image, click, y, x, kind, iou,
    predict_seconds, step_seconds, status, and boundary_iou if the run scored it. In CSV, text that
    a spreadsheet would take for a formula has an apostrophe before it.

    Examples:

    \b
      isegbench export results/runs/first
      isegbench export results/runs/first --format parquet --out first.parquet
    """
    from ..errors import UserError, nearest
    from ..files import write_whole
    from ..report.results.runs import load_run, tidy
    from ..report.tables.write_tables import csv_text

    formats = ("csv", "parquet")
    if format not in formats:
        raise UserError(f"unknown format {format!r}: {nearest(format, formats)}")
    frame = tidy(load_run(directory, categorical=True))
    path = out or directory / "export" / f"traces.{format}"
    if format == "csv":
        write_whole(path, csv_text(frame))
    else:
        write_whole(path, frame.to_parquet(index=False))
    typer.echo(f"{len(frame)} rows in {path}")
