"""DIR/report: the leaderboard in its formats, and the curves."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ..errors import UserError, nearest
from ..files import write_whole
from .curves import image_bands
from .latex import latex_document
from .leaderboard import leaderboard_of
from .markdown import escape, markdown_table
from .page import write_page
from .published import published_on, read_published
from .runs import Results, Run, curves_of, load_results
from .tables import DEFINITIONS, SHOWN, Table, measured_tables, published_tables
from .write_figures import figure_lines, write_figures

FORMATS = ("html", "md", "csv", "tex")


def write_report(
    runs: Sequence[Path | Run],
    formats: Iterable[str] = FORMATS,
    published: bool = False,
    metrics: Sequence[str] = SHOWN,
    intervals: bool = True,
) -> Path:
    """Write a report on one or several comparable runs; returns its folder, FIRST/report.

    runs: run directories, or runs already loaded. formats: html (`index.html`, the page), and md,
    csv, tex of `leaderboard.*`.
    metrics, intervals: what the tables show, as for `tables.measured_tables`; csv has everything.
    published: show published numbers too, in blocks of their own; with csv they go to
    `published.csv`. Figures are drawn always, as `write_figures` says.

    Needs neither images nor torch nor ray. Raises UserError when the runs cannot be read or
    compared, for an unknown format, and when the folder cannot be written.
    """
    formats = _checked(formats)
    results = load_results(runs)
    curves = curves_of(results)
    frame = leaderboard_of(results, curves=curves)
    numbers = published_on(read_published(), results.datasets) if published else None
    folder = results.directories[0] / "report"
    lines = figure_lines(results, curves, image_bands)
    drawn = write_figures(folder, results, lines)
    tables = measured_tables(frame, metrics, intervals)
    blocks = [] if numbers is None else published_tables(numbers, results.datasets)
    if "md" in formats:
        write_whole(folder / "leaderboard.md", _markdown(results, tables, blocks, drawn))
    if "tex" in formats:
        write_whole(folder / "leaderboard.tex", latex_document([*tables, *blocks]))
    if "csv" in formats:
        write_whole(folder / "leaderboard.csv", csv_text(frame))
        if numbers is not None:
            write_whole(folder / "published.csv", csv_text(numbers))
    if "html" in formats:
        write_page(folder / "index.html", results, curves, lines, tables, blocks)
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
