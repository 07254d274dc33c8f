"""The figures of a report as files: PNG to view, SVG for the web, PDF for a paper."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ...files import file_names, write_whole
from ...metrics import scores
from ...store.timing import seconds_per_click
from ..results.curves import BY, Bands, line_curves, noc_distribution, prediction_seconds
from ..results.runs import Results
from .figures import curves_figure, distribution_figure, speed_figure, success_figure
from .styles import styles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = ("png", "svg", "pdf")
#: The IoU of the figures on success, NoC and speed: the one that papers compare.
TARGET = 0.90


@dataclass(frozen=True)
class Lines:
    """What the figures show: means and shares of `curves.line_curves`, and
    `curves.noc_distribution`, for TARGET; `speed_points`, and what its seconds are."""

    means: pd.DataFrame
    shares: pd.DataFrame
    counts: pd.DataFrame
    points: pd.DataFrame
    time: str


def figure_lines(results: Results, curves: scores.IoUCurves, bands: Bands | None = None) -> Lines:
    """The numbers of all figures, computed once for the files and the page."""
    lines = line_curves(curves, TARGET, bands)
    counts = noc_distribution(curves, TARGET)
    return Lines(lines.means, lines.shares, counts, *speed_points(results, lines.noc))


def write_figures(folder: Path, results: Results, lines: Lines) -> dict[str, str]:
    """Draw what can be drawn into a folder; returns the stem of the curves of each data set.

    `curves` (mean IoU against clicks; not for runs that stopped at an IoU, whose mean after a
    number of clicks means nothing) for all data sets, and `curves-DATASET` for each; `success`
    (share of instances at IoU 90 % by click k), `noc` (distribution of NoC@90) and `speed` (NoC@90
    against seconds per prediction; without bounds, which compute nothing); these not for runs
    that stopped below IoU 90 %.
    """
    stop_at, clicks = results.protocol.stop_at, results.protocol.clicks
    style = styles(results.methods)
    if stop_at is None or stop_at >= TARGET:
        _write_success(folder, results, lines)
    datasets = _in_order(results, lines.means)
    if stop_at is not None or not datasets:
        return {}
    drawn = {name: f"curves-{stem}" for name, stem in file_names(results.datasets).items()}
    for name in datasets:
        figure = curves_figure(lines.means, [name], style, clicks)
        # Of a single data set the figure of all is the same one.
        _save(folder, [drawn[name]] + ["curves"] * (len(datasets) == 1), figure)
    if len(datasets) > 1:
        _save(folder, ["curves"], curves_figure(lines.means, datasets, style, clicks))
    return {name: drawn[name] for name in datasets}


def _write_success(folder: Path, results: Results, lines: Lines) -> None:
    style, clicks = styles(results.methods), results.protocol.clicks
    datasets = _in_order(results, lines.shares)
    if not datasets:
        return
    _save(folder, ["success"], success_figure(lines.shares, datasets, style, clicks, TARGET))
    figure = distribution_figure(lines.counts, datasets, list(results.methods), TARGET)
    _save(folder, ["noc"], figure)
    timed = _in_order(results, lines.points)
    if timed:
        metric, time = f"NoC@{100 * TARGET:g}", lines.time
        _save(folder, ["speed"], speed_figure(lines.points, timed, style, metric, time))


def _in_order(results: Results, frame: pd.DataFrame) -> list[str]:
    """The data sets of a frame, in the manifest's order."""
    present = set(frame["dataset"])
    return [name for name in results.datasets if name in present]


def speed_points(results: Results, noc: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """NoC and seconds of each method, as `figures.speed_figure` takes them, and what the seconds
    are. Bounds are left out: they compute nothing.

    noc: as `curves.line_curves` gives it. The seconds are SPC when the timing pass of the run
    covers every method and data set there is to show, otherwise those of the run itself.
    """
    competing = [name for name, entry in results.methods.items() if not entry.sees_truth]
    points = noc.loc[noc["method"].isin(competing)]
    if not results.timing.empty:
        timed = results.timing.groupby(["dataset", "method"])
        seconds = {key: seconds_per_click(rows) for key, rows in timed}
        spc = [
            seconds.get(key, 0.0) for key in zip(points["dataset"], points["method"], strict=True)
        ]
        if all(value > 0 for value in spc):
            return points.assign(seconds=spc), "SPC: seconds per click, measured apart"
    points = points.merge(prediction_seconds(results.traces), on=BY)
    return points.loc[points["seconds"] > 0], "seconds per prediction, in the run"


def _save(folder: Path, stems: list[str], figure: "Figure") -> None:
    from matplotlib import rc_context

    # Laid out once, not once for each format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for ending in ENDINGS:
        buffer = io.BytesIO()
        # No date in the file and no random names: the same traces give the same bytes.
        dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}
        # Type 42: journals refuse Type 3 fonts.
        with rc_context({"svg.hashsalt": "isegbench", "pdf.fonttype": 42}):
            figure.savefig(buffer, format=ending, dpi=200, metadata=dates.get(ending, {}))
        for stem in stems:
            write_whole(folder / f"{stem}.{ending}", buffer.getvalue())
