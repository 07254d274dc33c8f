"""Mean IoU against clicks: the numbers, and the figures drawn from them."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import metrics
from .runs import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours (2008), distinct in every common form of colour blindness; their yellow
#: is left out, since it vanishes on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
#: In grey, markers and dashes tell lines apart. Lengths without a common factor with the colours'
#: give 7 * 9 = 63 pairs before one comes again.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.2, 1.2, 1.2)))


@dataclass(frozen=True)
class Look:
    """How the line of one method is drawn, the same in every figure of a report."""

    colour: str
    marker: str
    dash: Any
    width: float = 1.6


def mean_curves(curves: metrics.IoUCurves) -> pd.DataFrame:
    """Mean IoU after each click, for each data set, method and simulator.

    Columns: `dataset, method, simulator, click, mean_iou, traces`; traces is how many the mean is
    over. Starts with the first click after which every scored trace has a prediction.
    """
    by = ["dataset", "method", "simulator"]
    parts = []
    for key, rows in curves.traces.groupby(by, observed=True).indices.items():
        scored = rows[curves.scored[rows]]
        if not len(scored):
            continue
        means = curves.ious[scored].mean(axis=0)
        clicks = np.flatnonzero(~np.isnan(means)) + 1
        columns = dict(zip(by, key, strict=True))  # pyright: ignore
        columns |= {"click": clicks, "mean_iou": means[clicks - 1], "traces": len(scored)}
        parts.append(pd.DataFrame(columns))
    names = [*by, "click", "mean_iou", "traces"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=names)


def looks(results: Results) -> dict[str, Look]:
    """A look for each method, in the manifest's order; bounds that see the truth are thin grey."""
    chosen: dict[str, Look] = {}
    number = 0
    for name, entry in results.methods.items():
        if entry.sees_truth:
            chosen[name] = Look("#777777", "", (0, (1, 1)), 1.0)
            continue
        chosen[name] = Look(
            COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            DASHES[number % len(DASHES)],
        )
        number += 1
    return chosen


def curves_figure(
    means: pd.DataFrame, datasets: Sequence[str], look: dict[str, Look], clicks: int
) -> "Figure":
    """A figure with one panel per data set and one legend for all.

    means: as `mean_curves` gives it. clicks: the budget, the end of the x axes.
    """
    from matplotlib.figure import Figure

    columns = min(len(datasets), 3)
    rows = -(-len(datasets) // columns)
    methods = [name for name in look if name in set(means["method"])]
    labels = [wrapped(name, 34) for name in methods]
    legend_columns = 1 if columns == 1 and max(map(len, methods), default=0) > 26 else columns + 1
    legend_rows = -(-len(methods) // legend_columns)
    legend_height = 0.17 * legend_rows * max((1 + label.count("\n") for label in labels), default=1)
    size = (3.3 * columns + (1.4 if columns == 1 else 0.4), 2.9 * rows + 0.25 + legend_height)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, dataset in zip(panels, datasets, strict=False):
        _draw(panel, means.loc[means["dataset"] == dataset], dataset, look, clicks)
    for panel in panels[len(datasets) :]:
        panel.set_visible(False)
    handles = [_line(panels[0], look[name], [], []) for name in methods]
    if handles:
        figure.legend(
            handles,
            [_plain(label) for label in labels],
            loc="outside lower center",
            ncols=legend_columns,
            fontsize=8.5,
            frameon=False,
            handlelength=3.2,
        )
    return figure


def _draw(
    panel: "Axes", means: pd.DataFrame, dataset: str, look: dict[str, Look], clicks: int
) -> None:
    from matplotlib.ticker import MaxNLocator

    # Drawn last to first, so that where lines meet the first method stays on top.
    for name in reversed(list(look)):
        line = means.loc[means["method"] == name]
        if not line.empty:
            _line(panel, look[name], np.array(line["click"]), 100 * np.array(line["mean_iou"]))
    panel.set_title(_plain(wrapped(dataset, 40)), fontsize=10)
    panel.set_xlabel("clicks", fontsize=9)
    panel.set_ylabel("mean IoU (%)", fontsize=9)
    panel.set_xlim(0.5, clicks + 0.5)
    lowest = 100 * min(means["mean_iou"], default=0.0)
    panel.set_ylim(max(0.0, 5 * math.floor(lowest / 5) - 2), 101)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    panel.tick_params(labelsize=8.5)
    panel.grid(True, color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _line(panel: "Axes", look: Look, x: Any, y: Any) -> Any:
    return panel.plot(
        x,
        y,
        color=look.colour,
        marker=look.marker,
        linestyle=look.dash,
        linewidth=look.width,
        markersize=6.0 if look.marker in ("P", "X") else 4.5,
        markeredgecolor="white",
        markeredgewidth=0.5,
    )[0]


def wrapped(name: str, width: int) -> str:
    """A name on several lines, broken after its separators where that is possible.

    >>> wrapped("ritm:mode=NoBRS,weights=coco_lvis_h18", 20)
    'ritm:mode=NoBRS,\\nweights=\\ncoco_lvis_h18'
    """
    lines = [""]
    for part in re.findall(r"[^,:=/]*[,:=/]|[^,:=/]+", name):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        for start in range(0, len(part), width):
            if start:
                lines.append("")
            lines[-1] += part[start : start + width]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """A dollar sign would start a formula."""
    return text.replace("$", r"\$")
