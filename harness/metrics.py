"""Metrics: pure functions on arrays and data frames.

Most take `ious`, a float64 (N, K) array: row n is one trace, column k its IoU after click k + 1,
K the click budget. NaN stands before the first prediction. `iou_curves` makes it from traces.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .errors import UserError
from .types import IGNORED, METHOD_FAILURES, OBJECT, TRACE_KEY

#: The columns that identify a trace.


def iou(mask: np.ndarray, truth: np.ndarray) -> float:
    """Intersection over union of a predicted mask and the ground truth.

    mask: (H, W) bool. truth: (H, W) uint8 with 0 background, 1 object, 255 ignored; ignored
    pixels count for neither. Returns 1.0 when both are empty.

    >>> iou(np.array([[True, True, True]]), np.array([[1, 0, 255]], np.uint8))
    0.5
    """
    target = truth == OBJECT
    intersection = np.count_nonzero(mask & target)
    predicted = np.count_nonzero(mask & (truth != IGNORED))
    union = predicted + np.count_nonzero(target) - intersection
    return float(intersection / union) if union else 1.0


def clicks_to_reach(ious: np.ndarray, target: float) -> np.ndarray:
    """The first click after which each trace has IoU >= target; (N,) float64, NaN for never.

    Clicks before the first prediction count: an opening of three clicks that reaches the target
    at once needs 3.

    >>> clicks_to_reach(np.array([[0.5, 0.9, 0.8], [0.5, 0.6, 0.7]]), 0.9)
    array([ 2., nan])
    """
    reached = ious >= target
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.nan)


def noc(ious: np.ndarray, target: float) -> float:
    """NoC@target: mean number of clicks to reach an IoU; never counts as the budget, K.

    NaN when there is no trace. Success at exactly the last click and never reaching the target
    give the same number here; `nof` tells them apart.

    >>> noc(np.array([[0.5, 0.9, 0.8], [0.5, 0.6, 0.7]]), 0.9)
    2.5
    """
    if not len(ious):
        return float("nan")
    clicks = clicks_to_reach(ious, target)
    return float(np.where(np.isnan(clicks), ious.shape[1], clicks).mean())


def nof(ious: np.ndarray, target: float) -> int:
    """NoF@target: the number of traces that never reach an IoU.

    Success at the last click of the budget is a success. (The evaluation scripts of the RITM
    family count it as a failure.)

    >>> nof(np.array([[0.5, 0.9], [0.5, 0.6]]), 0.9)
    1
    """
    return int((~(ious >= target).any(axis=1)).sum())


def miou(ious: np.ndarray, clicks: int) -> float:
    """mIoU@clicks: mean IoU after a number of clicks.

    NaN where it is not defined: before the first prediction of any of the traces, after the
    budget, or when there is no trace. A mean over only those that have predicted would favour
    whatever is easy.

    >>> miou(np.array([[0.5, 0.9], [0.5, 0.7]]), 2)
    0.8
    >>> miou(np.array([[np.nan, 0.9], [0.5, 0.7]]), 1)
    nan
    """
    if not len(ious) or not 1 <= clicks <= ious.shape[1]:
        return float("nan")
    return float(ious[:, clicks - 1].mean())


def hold_last(ious: np.ndarray) -> np.ndarray:
    """Fill each NaN with the last value before it in its row; leading NaN stay.

    >>> hold_last(np.array([[np.nan, 0.5, np.nan, 0.7, np.nan]]))
    array([[nan, 0.5, 0.5, 0.7, 0.7]])
    """
    columns = np.where(np.isnan(ious), 0, np.arange(ious.shape[1]))
    return np.take_along_axis(ious, np.maximum.accumulate(columns, axis=1), axis=1)


@dataclass(frozen=True, slots=True)
class IoUCurves:
    """The IoU of many traces click by click.

    traces: N rows with the columns of TRACE_KEY and `status`, sorted by key, index 0 to N - 1.
    ious: (N, K) float64, row n belongs to row n of `traces`.
    """

    traces: pd.DataFrame
    ious: np.ndarray

    @property
    def failed(self) -> np.ndarray:
        """(N,) bool: the method spoiled the trace; it counts against the method."""
        return self.traces["status"].isin(list(METHOD_FAILURES)).to_numpy(bool)

    @property
    def scored(self) -> np.ndarray:
        """(N,) bool: the trace counts. False where data or simulator failed: nobody's score."""
        return (self.traces["status"] == "ok").to_numpy(bool) | self.failed


def iou_curves(frame: pd.DataFrame, clicks: int) -> IoUCurves:
    """Traces as a table of IoU against clicks.

    frame: one row per click, with the columns of TRACE_KEY and click, iou, status; a trace that
    failed before its first click has one row with click 0. clicks: the budget K.

    A trace that ended early keeps its last IoU to the end of the budget. A trace that the method
    spoiled has IoU 0 from the failed click on, so it reaches no target it had not reached before.

    Raises UserError when a column is missing.

    >>> frame = pd.DataFrame({
    ...     "method": "m", "dataset": "d", "simulator": "s", "seed": 0,
    ...     "instance": ["a", "a", "b", "b"], "click": [1, 2, 1, 2],
    ...     "iou": [0.5, 0.75, 0.25, np.nan], "status": ["ok", "ok", "ok", "method-failed"],
    ... })
    >>> iou_curves(frame, 3).ious
    array([[0.5 , 0.75, 0.75],
           [0.25, 0.  , 0.  ]])
    """
    missing = [c for c in [*TRACE_KEY, "click", "iou", "status"] if c not in frame]
    if missing:
        raise UserError(f"traces lack the column {', '.join(missing)}")
    if clicks < 1:
        raise UserError(f"the click budget must be at least 1, not {clicks}")
    trace = frame.groupby(list(TRACE_KEY), observed=True, sort=True).ngroup().to_numpy()
    keys, first = np.unique(trace, return_index=True)
    traces = frame[list(TRACE_KEY)].iloc[first].reset_index(drop=True)

    click = frame["click"].to_numpy(np.int64)
    inside = (click >= 1) & (click <= clicks)
    ious = np.full((len(keys), clicks), np.nan)
    ious[trace[inside], click[inside] - 1] = frame["iou"].to_numpy(np.float64, na_value=np.nan)[
        inside
    ]

    status = frame["status"].to_numpy(object)
    spoiled = status != "ok"
    endings = np.full(len(keys), "ok", object)
    endings[trace[spoiled]] = status[spoiled]
    traces["status"] = endings.tolist()

    failed = spoiled & np.isin(status.astype(str), list(METHOD_FAILURES))
    ended_at = np.full(len(keys), clicks + 1)
    np.minimum.at(ended_at, trace[failed], np.maximum(click[failed], 1))
    ious[np.arange(1, clicks + 1) >= ended_at[:, None]] = 0.0
    return IoUCurves(traces, hold_last(ious))
