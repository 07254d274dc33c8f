"""`isegbench run`: compute traces, resume them, print the table."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import say_stopped, with_options_of_a_run


@with_options_of_a_run()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="A TOML file; options replace its values.")
    ] = None,
    *,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and the estimated time; write nothing."),
    ] = False,
    probe: Annotated[
        int,
        typer.Option(
            min=0,
            help="For --dry-run: instances of each method and data set to compute for it.",
        ),
    ] = 5,
    allow_failures: Annotated[
        bool,
        typer.Option("--allow-failures", help="Exit with 0 although a method failed; else with 1."),
    ] = False,
    **given: Any,
) -> None:
    """Run methods on data sets with a simulated user; keep every click; print the leaderboard.

    The same command again resumes: finished traces are not computed again.

    Examples:

    \b
      isegbench run --method nearest-click --dataset samples --out results/runs/first
      isegbench run --method geodesic:radius=3 --method grabcut --dataset grabcut \\
          --dataset "davis[0:10]" --executor ray --workers 2 --out results/runs/classical
      isegbench run benchmark.toml --seeds 3 --out results/runs/all
      isegbench run benchmark.toml --executor ray --dry-run
    """
    from rich.console import Console

    from ..errors import UserError
    from ..planning.config import make_config, read_config
    from ..report.results.runs import load_run
    from ..workflows.benchmark import execute
    from .dry_run import dry_run as print_plan
    from .failures import print_failures
    from .progress import Progress

    values = read_config(config) if config else {}
    values |= given
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
        say_stopped(console, f"Everything finished is in {checked.out}.")
        raise typer.Exit(130) from None
    directory = Path(str(checked.out))
    _print_leaderboard(directory)
    if print_failures(load_run(directory), console) and not allow_failures:
        raise typer.Exit(1)


def _print_leaderboard(directory: Path) -> None:
    from rich.console import Console

    from ..report.results.leaderboard import leaderboard
    from ..report.tables.terminal import terminal_table

    Console().print(terminal_table(leaderboard([directory])))
    typer.echo(f"Traces and manifest: {directory}. Tables and curves: isegbench report {directory}")
