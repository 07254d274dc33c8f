"""Metrics: pure functions on arrays and data frames.

Most take `ious`, a float64 (N, K) array: row n is one trace, column k its IoU after click k + 1,
K the click budget. It is NaN before the first prediction. `iou_curves` makes it from traces.
"""

import math
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..errors import UserError
from ..types import IGNORED, METHOD_FAILURES, OBJECT, TRACE_KEY

#: How far a boundary reaches into its mask, as a share of the image's diagonal (Cheng et al.).
BOUNDARY_SHARE = 0.02

_NAME = re.compile(r"(NoC|NoF)@(\d{1,2}|100)|(mIoU|mBIoU)@(\d+)|AuC")


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


def boundary_iou(mask: np.ndarray, truth: np.ndarray, share: float = BOUNDARY_SHARE) -> float:
    """Boundary IoU of a predicted mask and the ground truth: IoU of their inner boundaries.

    mask, truth: as for `iou`. A pixel is in the boundary of a mask when it is in the mask and
    some pixel outside it, or the end of the image, is at most d rows and d columns away; d is
    `share` of the image's diagonal, rounded, at least 1. Source: Cheng, Girshick, Dollár, Berg,
    Kirillov, Boundary IoU (CVPR 2021), with d and the square neighbourhood of their code.

    Ignored pixels are in neither boundary, and make none: they do not count as outside of either
    mask, so an outline that is only ignored on one side, or that the method draws inside the
    ignored region, changes nothing. Returns 1.0 when neither mask has a boundary.

    >>> truth = np.zeros((100, 100), np.uint8)
    >>> truth[20:80, 20:80] = 1
    >>> mask = np.zeros((100, 100), bool)
    >>> mask[20:80, 21:81] = True
    >>> round(iou(mask, truth), 3), round(boundary_iou(mask, truth), 3)
    (0.967, 0.714)
    """
    ignored = truth == IGNORED
    reach = max(1, round(share * math.hypot(*truth.shape)))
    target = _inner_boundary(truth == OBJECT, ignored, reach)
    predicted = _inner_boundary(mask, ignored, reach)
    union = np.count_nonzero(target | predicted)
    return float(np.count_nonzero(target & predicted) / union) if union else 1.0


def _inner_boundary(mask: np.ndarray, ignored: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) bool: the pixels of `mask`, not ignored, within `reach` of its outside."""
    import cv2

    filled = (mask | ignored).astype(np.uint8)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    inside = cv2.erode(filled, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return mask & ~ignored & (inside == 0)


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
    give the same number here; `nof` counts only the second.

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


def auc(ious: np.ndarray) -> float:
    """AuC: the mean over the traces of the area under IoU against clicks, as `trace_auc`.

    NaN when there is no trace.

    >>> auc(np.array([[0.5, 0.75, 1.0], [1.0, 1.0, 1.0]]))
    0.875
    """
    return float(trace_auc(ious).mean()) if len(ious) else float("nan")


def trace_auc(ious: np.ndarray) -> np.ndarray:
    """The area under each trace's IoU against clicks, (N,) float64 in [0, 1].

    By the trapezoidal rule from the first click to the last of the budget, divided by that
    width: 1 is a perfect mask from the first click on, and a straight line counts as its middle.
    Before the first prediction of a longer opening the IoU is 0, since there is no mask yet: the
    clicks of an opening are not free. A budget of one click gives the IoU after it. It is the
    area of the DAVIS interactive challenge (Caelles et al. 2018) with clicks in place of seconds.

    >>> trace_auc(np.array([[np.nan, 1.0, 1.0]]))
    array([0.75])
    """
    known = np.nan_to_num(np.asarray(ious, np.float64), nan=0.0)
    if known.shape[1] == 1:
        return known[:, 0]
    return (known.sum(axis=1) - (known[:, 0] + known[:, -1]) / 2) / (known.shape[1] - 1)


def trace_values(ious: np.ndarray, metric: str) -> np.ndarray:
    """What each trace adds to a metric, (N,) float64: the metric is their mean.

    metric: NoC@t (the clicks to reach t percent, the budget where never), NoF@t (1 where never
    reached; the metric is their sum), mIoU@k, mBIoU@k (the value after click k; `ious` then holds
    boundary IoUs) or AuC. NaN where the trace has no value. Raises UserError for other names.

    >>> trace_values(np.array([[0.5, 0.9, 0.8], [0.5, 0.6, 0.7]]), "NoC@90")
    array([2., 3.])
    """
    name, at = parse_metric(metric)
    if name == "AuC":
        return trace_auc(ious)
    if name in ("mIoU", "mBIoU"):
        inside = 1 <= at <= ious.shape[1]
        return ious[:, at - 1].astype(np.float64) if inside else np.full(len(ious), np.nan)
    clicks = clicks_to_reach(ious, at / 100)
    if name == "NoF":
        return np.isnan(clicks).astype(np.float64)
    return np.where(np.isnan(clicks), ious.shape[1], clicks)


def parse_metric(metric: str) -> tuple[str, int]:
    """A metric's name and number: NoC@90 is ("NoC", 90), AuC is ("AuC", 0). Raises UserError.

    >>> parse_metric("mIoU@5")
    ('mIoU', 5)
    """
    if not _NAME.fullmatch(metric):
        raise UserError(
            f"unknown metric {metric!r}: choose NoC@t or NoF@t with t in percent, mIoU@k or "
            "mBIoU@k with k clicks, or AuC"
        )
    name, _, at = metric.partition("@")
    return name, int(at or 0)


def lower_is_better(metric: str) -> bool:
    """Whether a small value of a metric is good: of NoC, NoF and SPC (seconds per click).

    >>> lower_is_better("NoC@90"), lower_is_better("mIoU@5")
    (True, False)
    """
    return metric.partition("@")[0] in ("NoC", "NoF", "SPC")


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
        """(N,) bool: the method failed; the trace counts against the method."""
        return self.traces["status"].isin(list(METHOD_FAILURES)).to_numpy(bool)

    @property
    def scored(self) -> np.ndarray:
        """(N,) bool: the trace counts. False where data or simulator failed."""
        return (self.traces["status"] == "ok").to_numpy(bool) | self.failed


def iou_curves(frame: pd.DataFrame, clicks: int, column: str = "iou") -> IoUCurves:
    """Traces as a table of IoU against clicks.

    frame: one row per click, with the columns of TRACE_KEY and click, iou, status; a trace that
    failed before its first click has one row with click 0. clicks: the budget K. column: what to
    read in place of `iou`, such as `boundary_iou`.

    A trace that ended early keeps its last IoU to the end of the budget. A trace in which the
    method failed has IoU 0 from the failed click on: it reaches no further target.

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
    missing = [c for c in [*TRACE_KEY, "click", column, "status"] if c not in frame]
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
    ious[trace[inside], click[inside] - 1] = frame[column].to_numpy(np.float64, na_value=np.nan)[
        inside
    ]

    status = frame["status"].to_numpy(object)
    failed_rows = status != "ok"
    endings = np.full(len(keys), "ok", object)
    endings[trace[failed_rows]] = status[failed_rows]
    traces["status"] = endings.tolist()

    failed = failed_rows & np.isin(status.astype(str), list(METHOD_FAILURES))
    ended_at = np.full(len(keys), clicks + 1)
    np.minimum.at(ended_at, trace[failed], np.maximum(click[failed], 1))
    ious[np.arange(1, clicks + 1) >= ended_at[:, None]] = 0.0
    return IoUCurves(traces, hold_last(ious))
