"""`isegbench gallery`: draw the best, worst and most different instances of a run."""

from pathlib import Path
from typing import Annotated

import typer


def gallery(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A run directory.", show_default=False)
    ],
    method: Annotated[
        str | None,
        typer.Option(help="The method to draw; default the first that does not see the truth."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(help="The method to compare with; default the next one of the run."),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only this data set of the run.")] = None,
    count: Annotated[int, typer.Option(min=1, help="The number of instances of each kind.")] = 6,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; else the one the run used.")
    ] = None,
) -> None:
    """Draw a method's worst and best instances, and those on which two methods differ most.

    The mean IoU over the clicks decides. Contact sheets and a strip for each instance are written
    to DIR/report/gallery, whole traces to DIR/report/traces; the page of `isegbench report` shows
    both. Traces have clicks, not masks: methods predict again on the recorded clicks.

    Examples:

    \b
      isegbench gallery results/runs/demo
      isegbench gallery results/runs/classical --method geodesic --against grabcut --count 8
    """
    from ..report.gallery.gallery import write_gallery

    write_gallery(directory, method, against, dataset, count, data_root, say=typer.echo)
