"""The numbers behind the figures: what happens with each further click, and what it costs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...metrics import intervals, scores

BY = ["dataset", "method", "simulator"]

#: From the IoUs of one line, (N, K), and its N rows of `IoUCurves.traces`, to the lower and upper
#: end of the interval of their mean, each (K,).
Bands = Callable[[np.ndarray, pd.DataFrame], tuple[np.ndarray, np.ndarray]]


def image_bands(ious: np.ndarray, traces: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """95% bootstrap intervals of the means of one line, drawing whole images."""
    image = "image" if "image" in traces else "instance"
    return intervals.mean_interval(ious, intervals.cluster_codes(traces[image].to_numpy()))


@dataclass(frozen=True)
class LineCurves:
    """What happens with each further click, by line: data set, method and simulator.

    All have the columns `dataset, method, simulator`, and `low, high`, NaN without bands.
    means: `click, mean_iou, traces`, mean IoU from the first click after which every scored trace
    has a prediction; traces is how many the mean is over. shares: `click, share, traces`, of the
    traces that have reached the target by each click of the budget; one that reached it stays a
    success, even where a later click made its mask worse, so this is the distribution function of
    NoC. noc: `noc`, mean clicks to the target, where never counts as the budget.
    """

    means: pd.DataFrame
    shares: pd.DataFrame
    noc: pd.DataFrame


def line_curves(curves: scores.IoUCurves, target: float, bands: Bands | None = None) -> LineCurves:
    """The curves of all lines, with intervals where `bands` gives them.

    target: an IoU in [0, 1], of shares and noc.
    """
    means, shares, noc = [], [], []
    budget = curves.ious.shape[1]
    clicks = np.arange(1, budget + 1)
    for key, rows in _lines(curves):
        ious = curves.ious[rows]
        reached = scores.clicks_to_reach(ious, target)[:, None]
        needed = np.where(np.isnan(reached), budget, reached)
        # One bootstrap for all three: drawing is what takes its time.
        values = np.hstack([ious, reached <= clicks, needed])
        low = high = np.full(values.shape[1], np.nan)
        if bands is not None:
            low, high = bands(values, curves.traces.iloc[rows])
        mean = values.mean(axis=0)
        known = np.flatnonzero(~np.isnan(mean[:budget]))
        parts = (known, budget + np.arange(budget), [2 * budget])
        names = (
            (means, "mean_iou", {"click": known + 1, "traces": len(rows)}),
            (shares, "share", {"click": clicks, "traces": len(rows)}),
            (noc, "noc", {}),
        )
        for (frames, column, more), part in zip(names, parts, strict=True):
            numbers = {column: mean[part], "low": low[part], "high": high[part]}
            frames.append(pd.DataFrame(key | more | numbers))
    by_click = [*BY, "click", "traces"]
    return LineCurves(
        _joined(means, [*by_click, "mean_iou", "low", "high"]),
        _joined(shares, [*by_click, "share", "low", "high"]),
        _joined(noc, [*BY, "noc", "low", "high"]),
    )


def noc_distribution(curves: scores.IoUCurves, target: float) -> pd.DataFrame:
    """How many traces needed how many clicks to reach an IoU.

    Columns: `dataset, method, simulator, click, count, traces`; click runs from 1 to the budget,
    and one row with click 0 counts the traces that never reach the target.
    """
    parts = []
    for key, rows in _lines(curves):
        needed = np.nan_to_num(scores.clicks_to_reach(curves.ious[rows], target)).astype(int)
        budget = curves.ious.shape[1]
        counts = np.bincount(needed, minlength=budget + 1)
        columns = key | {"click": np.arange(budget + 1), "count": counts, "traces": len(rows)}
        parts.append(pd.DataFrame(columns))
    return _joined(parts, [*BY, "click", "count", "traces"])


def prediction_seconds(traces: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds per prediction of each line of a report, as the run itself took them.

    traces: as `store.read_traces` gives them. Columns: `dataset, method, simulator, seconds,
    predictions`. These are the run's `predict_seconds`: with batches, a prediction's share of its
    batch, and on a machine that may have done other things too. Not SPC.
    """
    timed = traces[traces["predict_seconds"].notna()]
    grouped = timed.groupby(BY, observed=True, sort=False)["predict_seconds"]
    return grouped.agg(seconds="mean", predictions="size").reset_index()


def _lines(curves: scores.IoUCurves) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The lines of a figure: what they are of, and their scored rows."""
    for key, rows in curves.traces.groupby(BY, observed=True).indices.items():
        scored = rows[curves.scored[rows]]
        if len(scored):
            yield dict(zip(BY, key, strict=True)), scored  # pyright: ignore


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
