"""The command line: parses, calls, prints. A command imports what it needs when it runs.

The work itself (workflows, report) does not belong here.
"""

import os
import sys
from typing import Annotated

import typer

from ..errors import IsegbenchError
from . import (
    check,
    compare,
    data,
    export,
    gallery,
    label,
    leaderboard,
    listing,
    report,
    run,
    show,
    timing,
    train,
    weights,
)

app = typer.Typer(
    name="isegbench",
    help="A benchmark for interactive image segmentation: any method, any simulated user, any "
    "data set.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("label")(label.label)
app.command("leaderboard")(leaderboard.leaderboard)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.command("time")(timing.time)
app.command("train")(train.train)
app.command("gallery")(gallery.gallery)
app.command("show")(show.show)
app.command("list")(listing.listing)
app.command("check")(check.check)
app.add_typer(data.app, name="data")
app.add_typer(weights.app, name="weights")


def _version(given: bool) -> None:
    if given:
        from ..store.environment import package_version

        typer.echo(package_version())
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """The `isegbench` command. For an error of the user it prints a message and exits with 2."""
    try:
        app()
    except IsegbenchError as error:
        typer.secho("error: ", fg="red", bold=True, err=True, nl=False)
        typer.echo(str(error), err=True)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of stdout has closed it: avoid a second error when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
