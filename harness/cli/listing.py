"""`isegbench list`: what there is to name."""

import inspect
from typing import Annotated, Any, Literal

import typer


def listing(
    what: Annotated[
        Literal["methods", "datasets", "simulators"], typer.Argument(help="What to list.")
    ],
) -> None:
    """List methods, datasets or simulators with their parameters, those of plugins included.

    Examples:

    \b
      isegbench list methods
      isegbench list simulators
    """
    from rich.console import Console
    from rich.table import Table

    from .. import registry

    known: registry.Registry[Any] = getattr(registry, what)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("name", no_wrap=True)
    if what == "methods":
        table.add_column("opening", no_wrap=True)
        table.add_column("paper")
    else:
        table.add_column("what it is")
    table.add_column("parameters")
    for name, factory in known.items():
        if what == "methods":
            paper = factory.paper
            published = f"{paper.authors}, {paper.year}" if paper else ""
            about = (str(factory.opening), published)
        else:
            about = ((inspect.getdoc(factory) or "").partition("\n")[0],)
        table.add_row(name, *about, parameters(factory))
    Console().print(table)
    if what == "simulators":
        typer.echo("\nAny of them takes jitter=PIXELS: an unsteady hand.")
    if what == "datasets":
        typer.echo("\nname[start:stop] takes a part; any COCO, VOC or folder of yours works too.")


def parameters(factory: Any) -> str:
    """The keys a factory takes with their defaults, as one would type them."""
    shown = []
    for name, parameter in inspect.signature(factory).parameters.items():
        if name == "data_root" or parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            continue
        default = parameter.default
        shown.append(f"{name}=..." if default in (parameter.empty, None) else f"{name}={default}")
    return ", ".join(shown)
