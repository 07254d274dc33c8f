"""`isegbench data`: download data sets, print their folders, check that they are whole."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError, UserError

app = typer.Typer(
    help="Download data sets, find them, check them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="The folder that holds the data sets; else ISEGBENCH_DATA, else the cache.",
        show_default=False,
    ),
]

#: Problems printed for each data set; the others are only counted.
_SHOWN = 20


@app.command(
    epilog="Examples: [bold]isegbench data download grabcut berkeley[/], "
    "[bold]isegbench data download sbd --data-root /data/iseg[/]"
)
def download(
    names: Annotated[list[str], typer.Argument(help="Data sets, such as grabcut.")],
    data_root: DataRoot = None,
) -> None:
    """Download the released archives and unpack them in the data root.

    The first download of an archive records its sha256; later ones must have the same.
    """
    from ..downloads import cache, unpack

    archives = [(name, _archive(name)) for name in names]
    root = cache.data_root(data_root)
    for name, archive in archives:
        folder = unpack.install(archive, root, cache.downloads_dir(), cache.downloads_lock())
        typer.echo(f"{name}: {folder}")


@app.command(
    epilog="Examples: [bold]isegbench data path[/], [bold]ls $(isegbench data path grabcut)[/]"
)
def path(
    name: Annotated[str | None, typer.Argument(help="A data set, such as grabcut.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Print the folder of a data set; without a name, the data root and the data sets in it."""
    from ..downloads import cache
    from ..registry import datasets

    root = cache.data_root(data_root)
    if name is not None:
        folder = root / _archive(name).folder
        typer.echo(folder)
        if not folder.is_dir():
            typer.echo(f"not there: download it with 'isegbench data download {name}'", err=True)
        return
    typer.echo(root)
    for known, factory in datasets.items():
        archive = getattr(factory, "archive", None)
        if archive is not None:
            there = all((root / archive.folder / entry).exists() for entry in archive.contains)
            typer.echo(f"  {known:<12}{archive.folder:<12}{'there' if there else 'missing'}")


@app.command(
    epilog="Examples: [bold]isegbench data verify grabcut davis[/], "
    "[bold]isegbench data verify folder:my/photos,ignore=128[/]"
)
def verify(
    names: Annotated[list[str], typer.Argument(help="Data sets, as for isegbench run --dataset.")],
    data_root: DataRoot = None,
) -> None:
    """Decode and count all images and masks; list the problems and exit with 1 if there are any."""
    from rich.console import Console
    from rich.markup import escape

    from ..registry import datasets

    console = Console()
    built = [(name, datasets.build(name, data_root=data_root)) for name in names]
    findings = [_check(name, dataset) for name, dataset in built]
    console.print(_table(findings))
    for finding in findings:
        for problem in finding.problems[:_SHOWN]:
            console.print(f"[red]{escape(finding.name)}[/]: {escape(problem)}", soft_wrap=True)
        if len(finding.problems) > _SHOWN:
            console.print(f"{escape(finding.name)}: and {len(finding.problems) - _SHOWN} more")
    if any(finding.problems for finding in findings):
        raise typer.Exit(1)


@dataclass
class _Finding:
    """The result of `verify` for one data set."""

    name: str
    images: int
    masks: int
    ignoring: int = 0
    problems: list[str] = field(default_factory=list)


def _archive(name: str) -> Any:
    """The archive of the data set `name`. Raises UserError when it has none."""
    from ..registry import datasets

    archive = getattr(datasets.factory(name), "archive", None)
    if archive is None:
        others = [n for n, factory in datasets.items() if getattr(factory, "archive", None)]
        raise UserError(
            f"dataset {name} has no archive to download. These have one: {', '.join(others)}"
        )
    return archive


def _check(name: str, dataset: Any) -> _Finding:
    """Load every instance of one data set, with a progress bar."""
    from rich.console import Console
    from rich.progress import track

    from ..types import IGNORED

    refs: Sequence[Any] = dataset.instances()
    finding = _Finding(name, len({ref.image_name for ref in refs}), len(refs))
    if dataset.expected not in (None, (finding.images, finding.masks)):
        finding.problems.append(
            f"has {finding.images} images and {finding.masks} masks, but was published with "
            f"{dataset.expected[0]} and {dataset.expected[1]}"
        )
    seen: set[str] = set()
    for ref in track(refs, f"{name}", console=Console(stderr=True), transient=True):
        if ref.name in seen:
            finding.problems.append(f"{ref.name}: two instances have this name")
        seen.add(ref.name)
        try:
            finding.ignoring += bool((ref.load().mask == IGNORED).any())
        except DataError as error:
            finding.problems.append(f"{ref.name}: {error}")
    return finding


def _table(findings: list[_Finding]) -> Any:
    from rich.markup import escape
    from rich.table import Table

    table = Table("data set")
    for heading in ("images", "masks", "with ignored pixels", "problems"):
        table.add_column(heading, justify="right")
    for finding in findings:
        counts = (finding.images, finding.masks, finding.ignoring, len(finding.problems))
        table.add_row(escape(finding.name), *map(str, counts))
    return table
