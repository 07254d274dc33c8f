"""The numbers behind the figures: what happens with each further click, and what it costs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from .. import metrics, statistics

BY = ["dataset", "method", "simulator"]

#: From the IoUs of one line, (N, K), and its N rows of `IoUCurves.traces`, to the lower and upper
#: end of the interval of their mean, each (K,).
Bands = Callable[[np.ndarray, pd.DataFrame], tuple[np.ndarray, np.ndarray]]


def image_bands(ious: np.ndarray, traces: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """95% bootstrap intervals of the means of one line, drawing whole images."""
    image = "image" if "image" in traces else "instance"
    return statistics.mean_interval(ious, statistics.cluster_codes(traces[image].to_numpy()))


def mean_curves(curves: metrics.IoUCurves, bands: Bands | None = None) -> pd.DataFrame:
    """Mean IoU after each click, for each data set, method and simulator.

    Columns: `dataset, method, simulator, click, mean_iou, low, high, traces`; low and high are
    NaN without bands; traces is how many the mean is over. Starts with the first click after
    which every scored trace has a prediction.
    """
    parts = []
    for key, rows in _lines(curves):
        ious = curves.ious[rows]
        means = ious.mean(axis=0)
        known = np.flatnonzero(~np.isnan(means))
        low = high = np.full(len(means), np.nan)
        if bands is not None and len(known):
            low, high = bands(ious, curves.traces.iloc[rows])
        columns = key | {"click": known + 1, "mean_iou": means[known]}
        columns |= {"low": low[known], "high": high[known], "traces": len(rows)}
        parts.append(pd.DataFrame(columns))
    return _joined(parts, [*BY, "click", "mean_iou", "low", "high", "traces"])


def success_curves(
    curves: metrics.IoUCurves, target: float, bands: Bands | None = None
) -> pd.DataFrame:
    """The share of traces that have reached an IoU by each click.

    target: an IoU in [0, 1]. Columns: `dataset, method, simulator, click, share, low, high,
    traces`, for every click of the budget. A trace that reached the target stays a success, even
    where a later click made its mask worse: the curve is the distribution function of NoC@target.
    """
    parts = []
    for key, rows in _lines(curves):
        reached = metrics.clicks_to_reach(curves.ious[rows], target)
        clicks = np.arange(1, curves.ious.shape[1] + 1)
        by_then = (reached[:, None] <= clicks).astype(float)
        low = high = np.full(len(clicks), np.nan)
        if bands is not None:
            low, high = bands(by_then, curves.traces.iloc[rows])
        columns = key | {"click": clicks, "share": by_then.mean(axis=0)}
        columns |= {"low": low, "high": high, "traces": len(rows)}
        parts.append(pd.DataFrame(columns))
    return _joined(parts, [*BY, "click", "share", "low", "high", "traces"])


def noc_distribution(curves: metrics.IoUCurves, target: float) -> pd.DataFrame:
    """How many traces needed how many clicks to reach an IoU.

    Columns: `dataset, method, simulator, click, count, traces`; click runs from 1 to the budget,
    and one row with click 0 counts the traces that never reach the target.
    """
    parts = []
    for key, rows in _lines(curves):
        needed = np.nan_to_num(metrics.clicks_to_reach(curves.ious[rows], target)).astype(int)
        budget = curves.ious.shape[1]
        counts = np.bincount(needed, minlength=budget + 1)
        columns = key | {"click": np.arange(budget + 1), "count": counts, "traces": len(rows)}
        parts.append(pd.DataFrame(columns))
    return _joined(parts, [*BY, "click", "count", "traces"])


def mean_clicks(
    curves: metrics.IoUCurves, target: float, bands: Bands | None = None
) -> pd.DataFrame:
    """NoC@target of each line of a report: `dataset, method, simulator, noc, low, high`."""
    parts = []
    for key, rows in _lines(curves):
        needed = metrics.clicks_to_reach(curves.ious[rows], target)
        needed = np.where(np.isnan(needed), curves.ious.shape[1], needed)
        low = high = np.array([np.nan])
        if bands is not None:
            low, high = bands(needed[:, None], curves.traces.iloc[rows])
        parts.append(pd.DataFrame(key | {"noc": [needed.mean()], "low": low, "high": high}))
    return _joined(parts, [*BY, "noc", "low", "high"])


def prediction_seconds(traces: pd.DataFrame) -> pd.DataFrame:
    """Mean seconds per prediction of each line of a report, as the run itself took them.

    traces: as `store.read_traces` gives them. Columns: `dataset, method, simulator, seconds,
    predictions`. These are the run's `predict_seconds`: with batches, a prediction's share of its
    batch, and on a machine that may have done other things too. Not SPC.
    """
    timed = traces[traces["predict_seconds"].notna()]
    grouped = timed.groupby(BY, observed=True, sort=False)["predict_seconds"]
    return grouped.agg(seconds="mean", predictions="size").reset_index()


def _lines(curves: metrics.IoUCurves) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """The lines of a figure: what they are of, and their scored rows."""
    for key, rows in curves.traces.groupby(BY, observed=True).indices.items():
        scored = rows[curves.scored[rows]]
        if len(scored):
            yield dict(zip(BY, key, strict=True)), scored  # pyright: ignore


def _joined(parts: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
