"""DIR/report: the leaderboard in its formats, the figures and the page."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from .figures.write_figures import figure_lines, write_figures
from .page.page import write_page
from .results.curves import image_bands
from .results.leaderboard import leaderboard_of
from .results.published import published_on, read_published
from .results.runs import Run, curves_of, load_results
from .tables.published_tables import published_tables
from .tables.table import SHOWN, measured_tables
from .tables.write_tables import TABLE_FORMATS, checked_formats, write_tables

FORMATS = ("html", *TABLE_FORMATS)


@dataclass(frozen=True)
class Report:
    """Where a report was written, and the leaderboard it shows."""

    folder: Path
    leaderboard: pd.DataFrame


def write_report(
    runs: Sequence[Path | Run],
    formats: Iterable[str] = FORMATS,
    published: bool = False,
    metrics: Sequence[str] = SHOWN,
    intervals: bool = True,
) -> Report:
    """Write a report on one or several comparable runs to FIRST/report.

    runs: run directories, or runs already loaded. formats: html (`index.html`, the page), and md,
    csv, tex of `leaderboard.*`.
    metrics, intervals: what the tables show, as for `tables.measured_tables`; csv has all of it.
    published: show published numbers too, in tables of their own with the measured ones first;
    with csv they go to `published.csv`. Figures are always drawn, see `write_figures`.

    Needs neither images nor torch nor ray. Raises UserError when the runs cannot be read or
    compared, for an unknown format, and when the folder cannot be written.
    """
    formats = checked_formats(formats, FORMATS)
    results = load_results(runs)
    curves = curves_of(results)
    frame = leaderboard_of(results, curves=curves)
    numbers = published_on(read_published(), results.datasets) if published else None
    folder = results.directories[0] / "report"
    lines = figure_lines(results, curves, image_bands)
    drawn = write_figures(folder, results, lines)
    tables = measured_tables(frame, metrics, intervals)
    blocks = [] if numbers is None else published_tables(numbers, results.datasets, frame)
    write_tables(folder, formats, frame, tables, blocks, [results.protocol], numbers, drawn)
    if "html" in formats:
        write_page(folder / "index.html", results, curves, lines, tables, blocks)
    return Report(folder, frame)
