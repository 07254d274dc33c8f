"""`isegbench weights`: list, register, find and download checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Checkpoints: list, register, find, download.")


@app.command("list", epilog="Example: isegbench weights list --system dextr")
def list_(
    system: Annotated[
        str | None, typer.Option(help="Only those of one method, such as dextr.")
    ] = None,
) -> None:
    """List the known checkpoints, their training data, and whether they are on this machine.

    A `fetchable` checkpoint is downloaded when a method first uses it.
    """
    from rich.console import Console
    from rich.table import Table

    from ..downloads.weights import added, find, known_checkpoints
    from ..errors import UserError, nearest

    chosen = known_checkpoints(system)
    if system is not None and not chosen:
        systems = {entry.system for entry in known_checkpoints()}
        raise UserError(f"no checkpoint is known for {system!r}: {nearest(system, systems)}")
    table = Table("method", box=None, pad_edge=False)
    table.add_column("name", no_wrap=True)
    for heading in ("trained on", "size", "licence", "file"):
        table.add_column(heading)
    for entry in chosen:
        missing = "by hand" if entry.stored_name is None else "fetchable"
        size = f"{entry.megabytes:g} MB" if entry.megabytes else ""
        where = "here" if find(entry) else missing
        table.add_row(
            entry.system, entry.name, ", ".join(entry.trained_on), size, entry.licence, where
        )
    known = {entry.name for entry in known_checkpoints()}
    for name in added():
        if system is None and name not in known:
            table.add_row("any", name, "", "", "", "here")
    Console().print(table)


@app.command(epilog="Example: isegbench weights add forte_r50 ~/Downloads/forte.pth")
def add(
    name: Annotated[str, typer.Argument(help="A name from `weights list`, or a new name.")],
    file: Annotated[
        Path, typer.Argument(help="The checkpoint; the command copies it to the cache.")
    ],
    trained_on: Annotated[
        str | None,
        typer.Option(help="For a new name: the data sets of its training, such as sbd,voc."),
    ] = None,
) -> None:
    """Register a local file under a name, and record its sha256."""
    from ..downloads.weights import add as register_file

    names = None if trained_on is None else tuple(_parts(trained_on))
    stored = register_file(name, file, names)
    typer.echo(f"{stored.name}: {stored.path}\nsha256 {stored.sha256}")


@app.command(epilog="Example: isegbench weights path resnet34_dh128_sbd")
def path(name: Annotated[str, typer.Argument(help="A name from `weights list`.")]) -> None:
    """Print the path of a checkpoint; fail if it is not on this machine."""
    from ..downloads.weights import added, find, known_checkpoints
    from ..errors import UserError, nearest

    registered = added()
    entry = next((entry for entry in known_checkpoints() if entry.name == name), None)
    if entry is None and name not in registered:
        names = [*registered, *(known.name for known in known_checkpoints())]
        raise UserError(f"unknown weights {name!r}: {nearest(name, names)}")
    found = registered.get(name) if entry is None else find(entry)
    if found is None:
        raise UserError(
            f"{name} is not on this machine: try isegbench weights download {name}, or register a "
            f"copy with isegbench weights add {name} FILE"
        )
    typer.echo(str(found))


@app.command(epilog="Example: isegbench weights download resnet34_dh128_sbd")
def download(name: Annotated[str, typer.Argument(help="A name from `weights list`.")]) -> None:
    """Download a checkpoint from its authors, or print how to download it by hand."""
    from ..downloads.weights import download as fetch_file

    fetched = fetch_file(name)
    typer.echo(f"{fetched.path}\nsha256 {fetched.sha256}")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
