"""The leaderboard's files: Markdown, LaTeX and CSV, of one run or several."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from ...errors import UserError, nearest
from ...files import escape_cell, write_whole
from ...store.manifest import Protocol
from ..results.leaderboard import leaderboard_of
from ..results.published import published_on, read_published
from ..results.runs import Results, Run, merge, merge_apart
from .latex import latex_document
from .markdown import escape, markdown_table
from .published_tables import published_tables
from .table import DEFINITIONS, SHOWN, Table, measured_tables

TABLE_FORMATS = ("md", "csv", "tex")


def write_tables(
    folder: Path,
    formats: Iterable[str],
    frame: pd.DataFrame,
    tables: Sequence[Table],
    blocks: Sequence[Table],
    protocols: Sequence[Protocol],
    published: pd.DataFrame | None = None,
    drawn: dict[str, str] | None = None,
) -> None:
    """Write FOLDER/leaderboard.* in those of md, csv, tex that are among `formats`.

    frame: the leaderboard. tables, blocks: its tables, and those of published numbers. drawn: the
    stem of the figure of each data set that has one. published: for csv, what `published.csv` is
    to hold. Raises UserError when a file cannot be written.
    """
    if "md" in formats:
        write_whole(folder / "leaderboard.md", _markdown(protocols, tables, blocks, drawn or {}))
    if "tex" in formats:
        write_whole(folder / "leaderboard.tex", latex_document([*tables, *blocks]))
    if "csv" in formats:
        write_whole(folder / "leaderboard.csv", csv_text(frame))
        if published is not None:
            write_whole(folder / "published.csv", csv_text(published))


def merged_leaderboard(
    runs: Sequence[Run], allow_mixed: bool = False
) -> tuple[pd.DataFrame, list[Results]]:
    """One leaderboard of several runs, and the results it is of.

    allow_mixed: runs that cannot stand in one table get rows, and later tables, of their own.
    Raises `runs.Incomparable` when there are any and it is not set.
    """
    groups = merge_apart(runs) if allow_mixed else [merge(runs)]
    frames = [leaderboard_of(results) for results in groups]
    return pd.concat(frames, ignore_index=True), groups


def write_leaderboard(
    folder: Path,
    frame: pd.DataFrame,
    groups: Sequence[Results],
    formats: Iterable[str] = TABLE_FORMATS,
    published: bool = False,
    metrics: Sequence[str] = SHOWN,
    intervals: bool = True,
) -> None:
    """Write what `merged_leaderboard` gave to FOLDER/leaderboard.*; no figures.

    The rest as for `write.write_report`. Raises UserError for an unknown format, and when a file
    cannot be written.
    """
    formats = checked_formats(formats, TABLE_FORMATS)
    datasets = list(dict.fromkeys(name for results in groups for name in results.datasets))
    numbers = published_on(read_published(), datasets) if published else None
    tables = measured_tables(frame, metrics, intervals)
    blocks = [] if numbers is None else published_tables(numbers, datasets, frame)
    protocols = [results.protocol for results in groups]
    write_tables(folder, formats, frame, tables, blocks, protocols, numbers)


def checked_formats(formats: Iterable[str], known: Sequence[str]) -> list[str]:
    """Names of formats, in lower case. Raises UserError for one that is not known, or none."""
    formats = [name.strip().lower() for name in formats if name.strip()]
    for name in formats:
        if name not in known:
            raise UserError(f"unknown report format {name!r}: {nearest(name, known)}")
    if not formats:
        raise UserError(f"no report format given: choose from {', '.join(known)}")
    return formats


def csv_text(frame: pd.DataFrame) -> str:
    """A frame as CSV with every digit; `read_leaderboard` reads a leaderboard back unchanged.

    Text is escaped as by `escape_cell`, so that no cell is a formula in a spreadsheet.
    """
    text = {
        name: [escape_cell(value) if isinstance(value, str) else value for value in column]
        for name, column in frame.items()
        if not pd.api.types.is_numeric_dtype(column)
    }
    # Python's writer leaves a carriage return unquoted, which ends the row for readers.
    returns = any("\r" in value for column in text.values() for value in map(str, column))
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    escaped = frame.assign(**text)  # pyright: ignore
    return escaped.to_csv(index=False, lineterminator="\n", quoting=quoting)


def _markdown(
    protocols: Sequence[Protocol],
    tables: Sequence[Table],
    blocks: Sequence[Table],
    drawn: dict[str, str],
) -> str:
    parts = ["# Leaderboard\n", *(_described(protocol) for protocol in protocols)]
    shown: set[str] = set()
    for number, table in enumerate(tables):
        parts += [f"## {escape(table.title)}\n", markdown_table(table)]
        if any(other.dataset == table.dataset for other in tables[number + 1 :]):
            continue
        if table.dataset in drawn:
            caption = escape(f"Mean IoU against clicks on {table.dataset}")
            parts.append(f"![{caption}]({drawn[table.dataset]}.png)\n")
        for block in blocks:
            if block.dataset == table.dataset and block.dataset not in shown:
                parts += [f"### {escape(block.title)}\n", markdown_table(block)]
        shown.add(table.dataset)
    parts += ["## What the numbers are\n"]
    parts.append("".join(f"- {escape(text)}\n" for text in DEFINITIONS))
    return "\n".join(parts)


def _described(protocol: Protocol) -> str:
    facts = [f"simulator {protocol.simulator}", f"up to {protocol.clicks} clicks"]
    if protocol.stop_at is not None:
        facts.append(f"each trace stopped at IoU {protocol.stop_at:g}")
    if protocol.time_limit is not None:
        facts.append(f"at most {protocol.time_limit:g} s per prediction")
    return escape(f"Protocol: {', '.join(facts)}. IoU and AuC in percent.") + "\n"
