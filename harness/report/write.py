"""DIR/report: the leaderboard in its formats, and the curves."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .. import metrics
from ..errors import UserError, nearest
from ..files import write_whole
from .curves import curves_figure, looks, mean_curves
from .latex import latex_document
from .leaderboard import leaderboard_of
from .markdown import escape, markdown_table
from .naming import file_names
from .published import published_on, read_published
from .runs import Results, Run, load_results
from .tables import DEFINITIONS, Table, measured_tables, published_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("md", "csv", "tex")


def write_report(
    runs: Sequence[Path | Run], formats: Iterable[str] = FORMATS, published: bool = False
) -> Path:
    """Write a report on one or several comparable runs; returns its folder, FIRST/report.

    runs: run directories, or runs already loaded. formats: of `leaderboard.*`: md, csv, tex.
    published: show published numbers too, in blocks of their own; with csv they go to
    `published.csv`. Curves are drawn always: `curves.png` and `.svg` with a panel per data set,
    and one figure per data set; not for runs that stopped at an IoU, whose mean after a number
    of clicks means nothing.

    Needs neither images nor torch nor ray. Raises UserError when the runs cannot be read or
    compared, for an unknown format, and when the folder cannot be written.
    """
    formats = _checked(formats)
    results = load_results(runs)
    curves = metrics.iou_curves(results.traces, results.protocol.clicks)
    frame = leaderboard_of(results, curves=curves)
    numbers = published_on(read_published(), results.datasets) if published else None
    folder = results.directories[0] / "report"
    drawn = _write_curves(folder, results, curves)
    tables = measured_tables(frame)
    blocks = [] if numbers is None else published_tables(numbers, results.datasets)
    if "md" in formats:
        write_whole(folder / "leaderboard.md", _markdown(results, tables, blocks, drawn))
    if "tex" in formats:
        write_whole(folder / "leaderboard.tex", latex_document([*tables, *blocks]))
    if "csv" in formats:
        write_whole(folder / "leaderboard.csv", csv_text(frame))
        if numbers is not None:
            write_whole(folder / "published.csv", csv_text(numbers))
    return folder


def _checked(formats: Iterable[str]) -> list[str]:
    formats = [name.strip().lower() for name in formats if name.strip()]
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown report format {name!r}: {nearest(name, FORMATS)}")
    if not formats:
        raise UserError(f"no report format given: choose from {', '.join(FORMATS)}")
    return formats


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV with every digit; `read_leaderboard` reads a leaderboard back unchanged."""
    return frame.to_csv(index=False, lineterminator="\n")


def _markdown(
    results: Results, tables: list[Table], blocks: list[Table], drawn: dict[str, str]
) -> str:
    protocol = results.protocol
    facts = [f"simulator {protocol.simulator}", f"up to {protocol.clicks} clicks"]
    if protocol.stop_at is not None:
        facts.append(f"each trace stopped at IoU {protocol.stop_at:g}")
    if protocol.time_limit is not None:
        facts.append(f"at most {protocol.time_limit:g} s per prediction")
    parts = ["# Leaderboard\n", escape(f"Protocol: {', '.join(facts)}. mIoU in percent.") + "\n"]
    for table in tables:
        parts += [f"## {escape(table.title)}\n", markdown_table(table)]
        if table.dataset in drawn:
            caption = escape(f"Mean IoU against clicks on {table.dataset}")
            parts.append(f"![{caption}]({drawn[table.dataset]}.png)\n")
        for block in blocks:
            if block.dataset == table.dataset:
                parts += [f"### {escape(block.title)}\n", markdown_table(block)]
    parts += ["## What the numbers are\n"]
    parts.append("".join(f"- {escape(text)}\n" for text in DEFINITIONS))
    return "\n".join(parts)


def _write_curves(folder: Path, results: Results, curves: metrics.IoUCurves) -> dict[str, str]:
    """Draw what can be drawn; returns the file name, without its ending, for each data set."""
    if results.protocol.stop_at is not None:
        return {}
    means = mean_curves(curves)
    datasets = [name for name in results.datasets if name in set(means["dataset"])]
    if not datasets:
        return {}
    look, clicks = looks(results), results.protocol.clicks
    drawn = {name: f"curves-{stem}" for name, stem in file_names(results.datasets).items()}
    for name in datasets:
        _save(folder / drawn[name], curves_figure(means, [name], look, clicks))
    _save(folder / "curves", curves_figure(means, datasets, look, clicks))
    return {name: drawn[name] for name in datasets}


def _save(stem: Path, figure: "Figure") -> None:
    for ending in ("png", "svg"):
        buffer = io.BytesIO()
        # No date in the file: the same traces give the same bytes.
        metadata = {"Date": None} if ending == "svg" else {}
        figure.savefig(buffer, format=ending, dpi=200, metadata=metadata)
        write_whole(stem.with_name(f"{stem.name}.{ending}"), buffer.getvalue())
