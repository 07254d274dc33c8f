"""`isegbench time`: measure seconds per click for one interactive user."""

from pathlib import Path
from typing import Annotated

import typer


def time(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    method: Annotated[
        list[str] | None, typer.Option(help="Only this method of the run. Repeatable.")
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only this data set of the run. Repeatable.")
    ] = None,
    instances: Annotated[
        int, typer.Option(help="The number of each data set, evenly spread.")
    ] = 10,
    warm_up: Annotated[
        int, typer.Option(help="The number of them to play once before, not counted.")
    ] = 1,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; else the one the run used.")
    ] = None,
) -> None:
    """Measure SPC, the seconds per click that one user waits, and keep it in the run.

    The methods predict again on the recorded clicks, one session at a time, with no other work at
    the same time. The report and the leaderboard then have a column SPC.

    Examples:

    \b
      isegbench time results/runs/first
      isegbench time results/runs/classical --method grabcut --dataset davis --instances 30
    """
    from rich.console import Console
    from rich.table import Table

    from ..store.timing import seconds_per_click
    from ..workflows.time_methods import time_run

    console = Console(stderr=True)
    with console.status("timing") as status:
        frame = time_run(
            directory,
            method or (),
            dataset or (),
            instances,
            warm_up,
            data_root,
            lambda *what: status.update(f"timing {what[0]} on {what[2]} of {what[1]}"),
        )
    table = Table("method", "dataset", box=None, pad_edge=False)
    for heading in ("SPC (s)", "instances", "clicks"):
        table.add_column(heading, justify="right")
    table.add_column("device")
    for (name, data), rows in frame.groupby(["method", "dataset"], sort=False):  # pyright: ignore
        counts = (str(rows["instance"].nunique()), str(len(rows)))
        devices = ", ".join(rows["device"].unique())
        table.add_row(str(name), str(data), f"{seconds_per_click(rows):.3g}", *counts, devices)
    Console().print(table)
