"""Options that say where to compute, the same for every command that predicts."""

from typing import Annotated

import typer

Executor = Annotated[
    str | None, typer.Option(metavar="inline|ray", help="Where to compute; default inline.")
]
Workers = Annotated[int | None, typer.Option(help="Ray workers; default all cores.")]
GpusPerWorker = Annotated[
    float | None, typer.Option(help="GPU share of a Ray worker, such as 0.25.")
]
RayAddress = Annotated[
    str | None, typer.Option(help="A running Ray cluster; default this machine.")
]
TimeLimit = Annotated[float | None, typer.Option(help="Seconds a prediction may take.")]
