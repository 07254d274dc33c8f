"""`isegbench label`: turn boxes into masks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .options import say_stopped, with_options_of_a_run

if TYPE_CHECKING:
    from ..workflows.label.label import Labelled

#: Failures that are printed; failures.jsonl in OUT.parts has all.
_PRINTED = 5


@with_options_of_a_run(
    "executor",
    "workers",
    "gpus_per_worker",
    "ray_address",
    "batch_size",
    "limit",
    "time_limit",
    "retry_failures",
    batch_size="Boxes per prediction; default {default}.",
    limit="Only the first N boxes.",
    retry_failures="Try boxes that failed again.",
)
def label(
    boxes: Annotated[
        Path,
        typer.Option(help="COCO JSON, or an XML file of VOC or ILSVRC, or a folder of them."),
    ],
    images: Annotated[Path, typer.Option(help="The folder of the photographs.")],
    method: Annotated[
        str, typer.Option(help="A method that opens with a box, such as iog-box:KEYS.")
    ],
    out: Annotated[Path, typer.Option(help="The COCO JSON to write; OUT.parts is beside it.")],
    **given: Any,
) -> None:
    """Turn boxes into masks with a method that opens with a box; write them as COCO JSON.

    Finished masks are kept in OUT.parts; the same command again resumes. OUT is written at the
    end, whole. A bad box (empty, outside its image, its image missing) fails alone.

    Examples:

    \b
      isegbench label --boxes instances.json --images train2017 \\
          --method grabcut:opening=box --out masks.json
      isegbench label --boxes Annotations --images JPEGImages --batch-size 16 \\
          --method iog-box:outside=STAGE1.pth,weights=STAGE2.pth --out masks.json \\
          --executor ray --workers 2 --gpus-per-worker 1
    """
    from rich.console import Console

    from ..workflows.label.label import label as compute
    from .progress import Progress

    console = Console(stderr=True)
    progress = Progress(console)
    try:
        with progress:
            watching = (progress.start, progress.advance, progress.watch)
            done = compute(boxes, images, method, out, *watching, **given)
    except KeyboardInterrupt:
        say_stopped(console, f"Every finished mask is kept in {out}.parts.")
        raise typer.Exit(130) from None
    _print_outcome(done)


def _print_outcome(done: "Labelled") -> None:
    """Print the outcome, first the failures, so that the file is named last."""
    if done.failed:
        kinds = ", ".join(f"{count} {status}" for status, count in sorted(done.failed.items()))
        typer.echo(f"{sum(done.failed.values())} of {done.boxes} boxes have no mask ({kinds}):")
        for instance, why in done.reasons[:_PRINTED]:
            typer.echo(f"  {instance}: {why}")
        if len(done.reasons) > _PRINTED:
            typer.echo(f"  ... all of them in {done.parts / 'failures.jsonl'}")
    if done.crowds:
        typer.echo(f"{done.crowds} annotations of crowds were left out.")
    empty = f", {done.empty} of them empty" if done.empty else ""
    typer.echo(f"{done.masks} masks{empty} in {done.out}; the run directory: {done.parts}")
