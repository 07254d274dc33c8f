"""`isegbench label`: boxes become masks."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import Executor, GpusPerWorker, RayAddress, TimeLimit, Workers

if TYPE_CHECKING:
    from ..workflows.label.label import Labelled

#: How many failures are told on the screen.
_TOLD = 5


def label(
    boxes: Annotated[
        Path,
        typer.Option(help="COCO JSON, or an XML file of VOC or ILSVRC, or a folder of them."),
    ],
    images: Annotated[Path, typer.Option(help="The folder of the photographs.")],
    method: Annotated[str, typer.Option(help="One that takes a box, such as iog-box:KEYS.")],
    out: Annotated[Path, typer.Option(help="The COCO JSON to write; OUT.parts lies beside it.")],
    executor: Executor = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    ray_address: RayAddress = None,
    batch_size: Annotated[int | None, typer.Option(help="Boxes per prediction; default 1.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N boxes.")] = None,
    time_limit: TimeLimit = None,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Try boxes that failed again.")
    ] = False,
) -> None:
    """Turn boxes into masks with a method that needs no more, and write them as COCO JSON.

    What is finished is kept in OUT.parts; the same command again goes on there, and OUT appears,
    whole, at the end. A bad box (empty, outside its image, its image missing) costs itself.

    Examples:

    \b
      isegbench label --boxes instances.json --images train2017 \\
          --method grabcut:opening=box --out masks.json
      isegbench label --boxes Annotations --images JPEGImages --batch-size 16 \\
          --method iog-box:outside=STAGE1.pth,weights=STAGE2.pth --out masks.json \\
          --executor ray --workers 2 --gpus-per-worker 1
    """
    given = dict(locals())
    from rich.console import Console

    from ..workflows.label.label import label as compute
    from .progress import Progress

    console = Console(stderr=True)
    progress = Progress(console)
    try:
        with progress:
            done = compute(
                on_start=progress.start,
                on_trace=progress.advance,
                watch=progress.watch,
                **_without_defaults(given),
            )
    except KeyboardInterrupt:
        # To be copied from where it stands: unbroken, and not read as rich's markup.
        again = shlex.join(["isegbench", *sys.argv[1:]])
        console.print(
            f"\nStopped. Every finished mask is kept in {out}.parts. To go on:\n  {again}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        raise typer.Exit(130) from None
    _tell(done)


def _without_defaults(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _tell(done: "Labelled") -> None:
    """Say what became of the boxes; failures first, so that the file's name is the last word."""
    if done.failed:
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(done.failed.items()))
        typer.echo(f"{sum(done.failed.values())} of {done.boxes} boxes have no mask ({kinds}):")
        for instance, why in done.reasons[:_TOLD]:
            typer.echo(f"  {instance}: {why}")
        if len(done.reasons) > _TOLD:
            typer.echo(f"  ... all of them in {done.parts / 'failures.jsonl'}")
    if done.crowds:
        typer.echo(f"{done.crowds} annotations of crowds were left out.")
    empty = f", {done.empty} of them empty" if done.empty else ""
    typer.echo(f"{done.masks} masks{empty} in {done.out}; what it was made from: {done.parts}")
