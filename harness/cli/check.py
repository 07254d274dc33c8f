"""`isegbench check`: check that a method keeps the rules of the method interface."""

from typing import Annotated

import typer


def check(
    method: Annotated[
        str,
        typer.Argument(
            help="name, name:key=value,... or path/to/file.py:Class.", show_default=False
        ),
    ],
) -> None:
    """Check a method before a benchmark: predictions, batches, order, memory, pickling.

    The method segments three objects of the data set samples several times. The command prints a
    table of the rules with what to change. It exits with 1 when a rule is broken.

    Examples:

    \b
      isegbench check mine.py:Mine
      isegbench check geodesic:radius=3
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from ..workflows.check import check as check_method

    marks = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("not checked", "dim")}
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("what was found, and what to do")
    checks = check_method(method)
    for one in checks:
        text = Text(one.found)
        if one.advice:
            text.append(f"\n{one.advice}", style="cyan")
        table.add_row(one.name, Text(*marks[one.passed]), text)
    Console().print(table)
    failed = sum(one.passed is False for one in checks)
    if failed:
        typer.echo(f"{method}: {failed} rule(s) broken")
        raise typer.Exit(1)
    typer.echo(f"{method}: all rules hold")
