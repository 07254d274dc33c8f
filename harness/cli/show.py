"""`isegbench show`: draw a trace, click by click."""

from pathlib import Path
from typing import Annotated

import typer


def show(
    directory: Annotated[Path, typer.Argument(help="A run directory.")],
    dataset: Annotated[str, typer.Option(help="The name of the data set in the run.")],
    instance: Annotated[str, typer.Option(help="The instance's name.")],
    method: Annotated[
        str | None, typer.Option(help="Only this method; else all of the run.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; else the one the run used.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures; default DIR/report/traces.")
    ] = None,
) -> None:
    """Draw the clicks of a trace in order, and the mask after each.

    Traces have clicks, not masks: the method predicts again on the recorded clicks.

    Examples:

    \b
      isegbench show results/runs/first --dataset samples --instance coffee#4
      isegbench show results/runs/classical --dataset grabcut --instance person1 \\
          --method geodesic
    """
    from ..report.gallery.gallery import save_trace
    from ..workflows.replay import replay_instance

    for replayed in replay_instance(directory, dataset, instance, method, data_root):
        typer.echo(save_trace(directory, dataset, instance, replayed, out))
