"""`isegbench train`: start or resume the training that a TOML file describes."""

from pathlib import Path
from typing import Annotated

import typer

from .options import say_stopped


def train(
    config: Annotated[Path, typer.Argument(help="A TOML file that describes a training.")],
    out: Annotated[
        Path | None, typer.Option(help="The directory, made or resumed; replaces that of the file.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; replaces that of the file.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Do not train: write the best weights so far to FILE in 16 bits, "
            "as .safetensors or .pth.",
        ),
    ] = None,
) -> None:
    """Train a network; keep its weights, its curves, and what a stopped training needs to go on.

    The same command again resumes; the result is that of a training that was never stopped.

    Examples:

    \b
      isegbench train iog.toml --out results/training/iog
      isegbench train iog.toml --out results/training/iog --export small.safetensors
    """
    from rich.console import Console

    from ..workflows.training import gather, read_training
    from .training_progress import TrainingProgress

    console = Console(stderr=True)
    given = {"out": out, "data_root": data_root}
    given = {key: value for key, value in given.items() if value is not None}
    trainer, checked = read_training(config, **given)
    if export is not None:
        trainer.export(checked, export)
        typer.echo(f"Weights: {export} ({export.stat().st_size / 1e6:.1f} MB)")
        return
    try:
        with TrainingProgress(console) as progress:
            best = trainer.train(checked, gather(checked), progress)
    except KeyboardInterrupt:
        say_stopped(console, "The last checkpoint is kept.")
        raise typer.Exit(130) from None
    typer.echo(f"Weights: {best}\nCurves: {best.parents[1] / 'curves.png'}")
