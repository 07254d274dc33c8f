"""`isegbench list`: list methods, data sets and simulators."""

from typing import Annotated, Literal

import typer


def listing(
    what: Annotated[
        Literal["methods", "datasets", "simulators"], typer.Argument(help="What to list.")
    ],
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print methods as the Markdown table of the README.")
    ] = False,
) -> None:
    """List methods, datasets or simulators with their parameters, including those of plugins.

    Examples:

    \b
      isegbench list methods
      isegbench list simulators
    """
    from rich.console import Console

    from ..planning.catalogue import methods_markdown

    if markdown and what == "methods":
        typer.echo(methods_markdown(), nl=False)
        return
    console = Console()
    if what == "methods":
        _methods(console)
        console.print("\nCheckpoints by name: isegbench weights list", highlight=False)
        return
    _others(console, what)
    if what == "simulators":
        console.print("\nEach also has jitter=PIXELS: it moves clicks at random.", highlight=False)
    else:
        console.print(
            "\nname[start:stop], such as samples[0:4], is a part of a data set.", markup=False
        )


def _methods(console) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ..planning.catalogue import method_listings

    for row in method_listings():
        year = f" ({row.year})" if row.year else ""
        console.print(Text(row.name, style="bold"), Text(f"{row.paper or row.about}{year}"))
        facts = [("opening", row.opening), ("modes", row.modes), ("weights", row.weights)]
        facts += [("parameters", row.parameters), ("to install", row.install)]
        for label, value in facts:
            if value:
                line = Text(f"{label}: ", style="dim").append(value, style="not dim")
                console.print(Padding(line, (0, 0, 0, 4)))


def _others(console, what: str) -> None:
    from rich.table import Table

    from .. import registry
    from ..planning.catalogue import parameters, summary
    from ..planning.outline import outlines

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("what it is")
    table.add_column("parameters")
    for name, factory in outlines(getattr(registry, what)):
        table.add_row(name, summary(factory), parameters(factory))
    console.print(table)
