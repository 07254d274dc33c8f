"""The figures of a report, drawn for print: one panel per data set, one legend for all."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .styles import Style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GRID = "#dddddd"
#: From this many lines on, markers stand on every fourth click only, each line's on others.
_CROWDED = 6


def curves_figure(
    means: pd.DataFrame, datasets: Sequence[str], style: Mapping[str, Style], clicks: int
) -> "Figure":
    """Mean IoU against clicks, with a band where intervals are known.

    means: as `curves.line_curves` gives it. clicks: the budget, the end of the x axes.
    """
    figure, panels = _panels(means, datasets, style)
    for panel, dataset in zip(panels, datasets, strict=False):
        chosen = means.loc[means["dataset"] == dataset]
        _draw_lines(panel, chosen, "mean_iou", style, clicks)
        lowest = 100 * min(chosen["mean_iou"], default=0.0)
        panel.set_ylim(max(0.0, 5 * math.floor(lowest / 5) - 2), 101)
        panel.set_ylabel("mean IoU (%)", fontsize=9)
        _frame_clicks(panel, dataset, clicks)
    return figure


def success_figure(
    shares: pd.DataFrame,
    datasets: Sequence[str],
    style: Mapping[str, Style],
    clicks: int,
    target: float,
) -> "Figure":
    """The share of instances that have reached an IoU, against clicks.

    shares: as `curves.line_curves` gives it for this target.
    """
    figure, panels = _panels(shares, datasets, style)
    for panel, dataset in zip(panels, datasets, strict=False):
        _draw_lines(panel, shares.loc[shares["dataset"] == dataset], "share", style, clicks)
        panel.set_ylim(-2, 102)
        panel.set_ylabel(f"instances at IoU {100 * target:g} % (%)", fontsize=9)
        _frame_clicks(panel, dataset, clicks)
    return figure


def speed_figure(
    points: pd.DataFrame,
    datasets: Sequence[str],
    style: Mapping[str, Style],
    metric: str,
    time: str,
) -> "Figure":
    """Clicks needed against time: the nearer to the lower left, the better.

    points: `dataset, method, seconds, noc, low, high` (NaN without an interval). metric: what noc
    is, such as NoC@90. time: what the seconds are, for the axis.
    """
    figure, panels = _panels(points, datasets, style)
    for panel, dataset in zip(panels, datasets, strict=False):
        here = points.loc[points["dataset"] == dataset]
        panel.set_xlim(here["seconds"].min() / 1.8, here["seconds"].max() * 1.8)
        panel.set_xscale("log")
        for row in here.to_dict("records"):
            one = style[row["method"]]
            if not math.isnan(row["low"]):
                ends = [row["low"], row["high"]]
                panel.plot([row["seconds"]] * 2, ends, color=one.colour, linewidth=1.2)
            _line(panel, one, [row["seconds"]], [row["noc"]], marker=one.marker or "o", size=8)
        panel.xaxis.set_major_formatter("{x:g}")
        panel.set_xlabel(time, fontsize=9)
        panel.set_ylabel(f"{metric}, lower is better", fontsize=9)
        panel.margins(y=0.12)
        _frame(panel, dataset)
    return figure


def distribution_figure(
    counts: pd.DataFrame,
    datasets: Sequence[str],
    methods: Sequence[str],
    target: float,
) -> "Figure":
    """How many instances needed how many clicks: a strip per method, darker where there are more.

    counts: as `curves.noc_distribution` gives it for this target. The last cell are the instances
    that never reach it; a tick marks the mean, NoC@target, and its number is at the right.
    """
    from matplotlib.figure import Figure

    shown = [name for name in methods if name in set(counts["method"])]
    columns = min(len(datasets), 2)
    rows = -(-len(datasets) // columns)
    labels = [wrapped(name, 24) for name in shown]
    lines = sum(max(1.25, 0.8 * (1 + label.count("\n"))) for label in labels)
    side = 0.075 * max((len(line) for label in labels for line in label.split("\n")), default=0)
    size = (columns * (3.4 + side) + 0.9, rows * (0.75 + 0.19 * lines) + 0.75)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    image = None
    for panel, dataset in zip(panels, datasets, strict=False):
        image = _draw_strips(panel, counts.loc[counts["dataset"] == dataset], shown, dataset)
    for panel in panels[len(datasets) :]:
        panel.set_visible(False)
    if image is not None:
        used = list(panels[: len(datasets)])
        bar = figure.colorbar(
            image, ax=used, location="bottom", fraction=0.04, pad=0.02, aspect=45, shrink=0.6
        )
        bar.set_label(f"share of instances, by clicks to IoU {100 * target:g} % (%)", fontsize=8.5)
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)  # pyright: ignore
    return figure


def _draw_strips(panel: "Axes", counts: pd.DataFrame, methods: list[str], dataset: str) -> Any:
    # The first simulator, where a run holds a method with several.
    table = counts.pivot_table(index="method", columns="click", values="count", aggfunc="first")
    present = [name for name in methods if name in table.index]
    values = table.loc[present].to_numpy(float)
    never, taken = values[:, :1], values[:, 1:]
    budget = taken.shape[1]
    totals = values.sum(axis=1, keepdims=True)
    needed = (taken @ np.arange(1, budget + 1) + never[:, 0] * budget) / totals[:, 0]
    order = np.argsort(needed, kind="stable")
    gap = np.full((len(present), 2), np.nan)
    shares = (100 * np.hstack([taken, gap, never]) / totals)[order]
    # Most cells hold a few per cent and some nearly all: a root shows both.
    image = panel.imshow(
        shares, aspect="auto", cmap="Blues", norm=_root_scale(), interpolation="nearest"
    )
    ticks = [n for n in (1, 5, 10, 15, 20, 30, 40, 50) if n < budget - 1] + [budget]
    panel.set_xticks([n - 1 for n in ticks] + [budget + 2], [*map(str, ticks), "never"])
    panel.set_yticks(range(len(present)), [_plain(wrapped(present[i], 24)) for i in order])
    panel.set_yticks(np.arange(0.5, len(present) - 1), minor=True)
    panel.grid(True, axis="y", which="minor", color="white", linewidth=3)
    panel.tick_params(which="both", length=0)
    panel.tick_params(labelsize=8.5)
    panel.set_title(_plain(wrapped(dataset, 40)), fontsize=10)
    panel.set_xlabel("clicks needed", fontsize=9)
    panel.spines[:].set_visible(False)
    for row, index in enumerate(order):
        x = needed[index] - 1
        panel.plot([x, x], [row - 0.36, row + 0.36], color="white", linewidth=3.4)
        panel.plot([x, x], [row - 0.36, row + 0.36], color="#D55E00", linewidth=1.8)
        place = (budget + 2.8, row)
        panel.text(*place, f"{needed[index]:.2f}", fontsize=8.5, va="center", clip_on=False)
    return image


def _root_scale() -> Any:
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, 0, 100)


def _panels(
    values: pd.DataFrame, datasets: Sequence[str], style: Mapping[str, Style]
) -> tuple["Figure", Any]:
    """A figure with a panel per data set, and the legend of the methods that are in it."""
    from matplotlib.figure import Figure

    columns = 2 if len(datasets) == 4 else min(len(datasets), 3)
    rows = -(-len(datasets) // columns)
    present = set(values["method"])
    methods = [name for name in style if name in present]
    labels = [wrapped(name, 34) for name in methods]
    width = 3.3 * columns + (1.4 if columns == 1 else 0.4)
    longest = max((len(line) for label in labels for line in label.split("\n")), default=0)
    legend_columns = max(1, min(columns + 1, int(width / (0.7 + 0.073 * longest))))
    legend_rows = -(-len(methods) // legend_columns)
    legend_height = 0.17 * legend_rows * max((1 + label.count("\n") for label in labels), default=1)
    figure = Figure(figsize=(width, 2.9 * rows + 0.25 + legend_height), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[len(datasets) :]:
        panel.set_visible(False)
    handles = [_line(panels[0], style[name], [], []) for name in methods]
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
    return figure, panels


def _draw_lines(
    panel: "Axes", lines: pd.DataFrame, column: str, style: Mapping[str, Style], clicks: int
) -> None:
    present = [name for name in style if name in set(lines["method"])]
    every = 4 if len(present) >= _CROWDED and clicks > 8 else 1
    # Drawn last to first, so that where lines meet the first method stays on top.
    for number, name in reversed(list(enumerate(present))):
        of_method = lines.loc[lines["method"] == name]
        for _, line in of_method.groupby("simulator", observed=True):
            x, y = line["click"].to_numpy(), 100 * line[column].to_numpy()
            if np.isfinite(line["low"].to_numpy(float)).any():
                panel.fill_between(
                    x,
                    100 * line["low"].to_numpy(),
                    100 * line["high"].to_numpy(),
                    color=style[name].colour,
                    alpha=0.15,
                    linewidth=0,
                )
            _line(panel, style[name], x, y, every=(number % every, every))


def _frame_clicks(panel: "Axes", dataset: str, clicks: int) -> None:
    from matplotlib.ticker import MaxNLocator

    panel.set_xlabel("clicks", fontsize=9)
    panel.set_xlim(0.5, clicks + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=10, min_n_ticks=1))
    _frame(panel, dataset)


def _frame(panel: "Axes", dataset: str) -> None:
    panel.set_title(_plain(wrapped(dataset, 40)), fontsize=10)
    panel.tick_params(labelsize=8.5)
    panel.grid(True, color=GRID, linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)


def _line(
    panel: "Axes",
    style: Style,
    x: Any,
    y: Any,
    marker: str = "",
    size: float = 4.5,
    every: tuple[int, int] = (0, 1),
) -> Any:
    marker = marker or style.marker
    return panel.plot(
        x,
        y,
        color=style.colour,
        marker=marker,
        linestyle=(0, style.dash) if style.dash else "-",
        linewidth=style.width,
        markersize=size * (1.3 if marker in ("P", "X") else 1.0),
        markeredgecolor="white",
        markeredgewidth=0.5,
        markevery=every,
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
