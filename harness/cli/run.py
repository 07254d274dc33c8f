"""`isegbench run`: compute traces, resume them, print the table."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Executor, GpusPerWorker, RayAddress, TimeLimit, Workers

#: Options that say how this command goes, not what the run is.
_ABOUT_THE_COMMAND = ("config", "dry_run", "probe")


def run(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; options given besides it win.")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="name, name:key=value,... or path/to/file.py:Class. Repeatable."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="name, name, name:key=value,... or a part: davis[0:10]. Repeatable."),
    ] = None,
    simulator: Annotated[
        str | None, typer.Option(help="Who clicks; default largest-error.")
    ] = None,
    clicks: Annotated[int | None, typer.Option(help="Clicks an instance gets; default 20.")] = None,
    stop_at: Annotated[
        float | None, typer.Option(metavar="IOU", help="End a trace once it reaches this IoU.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The first seed; default 0.")] = None,
    seeds: Annotated[int | None, typer.Option(help="How many seeds; default 1.")] = None,
    executor: Executor = None,
    workers: Workers = None,
    gpus_per_worker: GpusPerWorker = None,
    ray_address: RayAddress = None,
    batch_size: Annotated[
        int | None, typer.Option(help="Sessions per prediction; default 1.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder of the data sets; else ISEGBENCH_DATA, the cache.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first N instances of each data set.")
    ] = None,
    instances: Annotated[
        Path | None, typer.Option(help="A file with the names of instances, one a line.")
    ] = None,
    time_limit: TimeLimit = None,
    retry_failures: Annotated[
        bool, typer.Option("--retry-failures", help="Compute failed traces again.")
    ] = False,
    boundary_iou: Annotated[
        bool, typer.Option("--boundary-iou", help="Score boundary IoU after every click too.")
    ] = False,
    save_masks: Annotated[
        bool,
        typer.Option("--save-masks", help="Keep every trace's last mask: COCO JSON in DIR/masks."),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="The run's directory, made or resumed.")] = None,
    ship_package: Annotated[
        bool, typer.Option("--ship-package", help="Send isegbench to Ray nodes that lack it.")
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and how long it would take; write nothing."),
    ] = False,
    probe: Annotated[
        int,
        typer.Option(
            min=0, help="For --dry-run: instances of each method and data set to play for it."
        ),
    ] = 5,
) -> None:
    """Run methods on data sets with a simulated user; keep every click; print the leaderboard.

    The same command again resumes: finished traces are not computed twice.

    Examples:

    \b
      isegbench run --method nearest-click --dataset samples --out results/runs/first
      isegbench run --method geodesic:radius=3 --method grabcut --dataset grabcut \\
          --dataset "davis[0:10]" --executor ray --workers 2 --out results/runs/classical
      isegbench run benchmark.toml --seeds 3 --out results/runs/all
      isegbench run benchmark.toml --executor ray --dry-run
    """
    given = dict(locals())
    from rich.console import Console

    from ..errors import UserError
    from ..planning.config import make_config, read_config
    from ..workflows.benchmark import execute
    from .dry_run import dry_run as print_plan
    from .progress import Progress

    values = read_config(config) if config else {}
    values |= _overrides(given)
    for needed in ("methods", "datasets", "out"):
        if needed not in values and not (dry_run and needed == "out"):
            option = f"--{needed.removesuffix('s')}"
            raise UserError(f"{needed} is missing: give {option}, or a TOML file that has it")
    checked = make_config(values, str(config) if config else "")
    console = Console(stderr=True)
    if dry_run:
        print_plan(checked, probe, console)
        return
    progress = Progress(console)
    try:
        with progress:
            execute(checked, progress.start, progress.advance, progress.watch)
    except KeyboardInterrupt:
        # To be copied from where it stands: unbroken, and not read as rich's markup.
        again = shlex.join(["isegbench", *sys.argv[1:]])
        console.print(
            f"\nStopped. Everything finished is in {checked.out}. To go on:\n  {again}",
            soft_wrap=True,
            markup=False,
            highlight=False,
        )
        raise typer.Exit(130) from None
    _print_leaderboard(Path(str(checked.out)))


def _overrides(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, under the names of RunConfig."""
    renamed = {"method": "methods", "dataset": "datasets"}
    return {
        renamed.get(name, name): value
        for name, value in given.items()
        if name not in _ABOUT_THE_COMMAND and value is not None and value is not False
    }


def _print_leaderboard(directory: Path) -> None:
    from rich.console import Console

    from ..report.results.leaderboard import leaderboard
    from ..report.tables.terminal import terminal_table

    Console().print(terminal_table(leaderboard([directory])))
    typer.echo(f"Traces and manifest: {directory}. Tables and curves: isegbench report {directory}")
