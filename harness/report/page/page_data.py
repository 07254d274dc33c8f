"""The data of each trace for the report page, packed: a little JSON and one block of bytes."""

import base64
import json
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from ...metrics import scores
from ...types import KINDS, TRACE_KEY
from ..results.runs import Results

#: IoU targets in percent that the page offers for NoC and success.
TARGETS = (80, 85, 90, 95)
#: The meaning of a trace's status byte: 0 for no such trace, then 1 + the place in this list.
STATUSES = ("ok", "method-failed", "timed-out", "worker-died", "simulator-failed", "data-failed")
#: A page of more clicks than this leaves out where they are: it would take seconds to open.
MOST_CLICKS = 2_000_000
NOT_A_NUMBER = 0xFFFF

_ROW = ["dataset", "simulator", "seed", "instance"]


def packed_traces(results: Results, curves: scores.IoUCurves) -> tuple[dict[str, Any], str]:
    """All traces of a report as (JSON value, base64 of zlib-compressed bytes).

    JSON: `rows`, columns of one entry per (data set, simulator, seed, instance): dataset (place in
    the manifest's order), simulator (place in `simulators`), seed, instance; and `sections`, the
    [name, type, length] of the arrays that follow each other in the bytes, little-endian. With R
    rows, M methods, K clicks and T targets: `noc` uint16 (R, M, T), 0 for never; `iou` uint16
    (R, M, K) in thousandths, NOT_A_NUMBER for none; `clicks` uint16 (R, M), how many a trace has;
    `y`, `x` uint16, all clicks one after the other, and `kind` uint8, their place in KINDS (these
    three empty beyond MOST_CLICKS); `status` uint8 (R, M), see STATUSES.
    """
    traces, ious = curves.traces, curves.ious
    order = {name: n for n, name in enumerate(results.datasets)}
    rows = pd.DataFrame(traces[_ROW]).drop_duplicates()
    rows = rows.assign(place=[order[name] for name in rows["dataset"]])
    rows = rows.sort_values(["place", "simulator", "seed", "instance"], ignore_index=True)
    row_of = rows.set_index(_ROW).index.get_indexer(traces.set_index(_ROW).index)
    methods = {name: n for n, name in enumerate(results.methods)}
    cell = row_of * len(methods) + np.array([methods[name] for name in traces["method"]], int)
    cells = len(rows) * len(methods)

    status = np.zeros(cells, np.uint8)
    status[cell] = [STATUSES.index(name) + 1 for name in traces["status"]]
    iou = np.full((cells, ious.shape[1]), NOT_A_NUMBER, "<u2")
    iou[cell] = np.where(np.isnan(ious), NOT_A_NUMBER, np.round(1000 * np.nan_to_num(ious)))
    noc = np.zeros((cells, len(TARGETS)), "<u2")
    for place, target in enumerate(TARGETS):
        noc[cell, place] = np.nan_to_num(scores.clicks_to_reach(ious, target / 100))

    counts, y, x, kind = _clicks(results.traces, cell, cells)
    if len(kind) > MOST_CLICKS:
        y, x, kind = y[:0], x[:0], kind[:0]
    arrays = {"noc": noc, "iou": iou, "clicks": counts, "y": y, "x": x}
    arrays |= {"kind": kind, "status": status}
    block = b"".join(array.tobytes() for array in arrays.values())
    simulators = sorted(rows["simulator"].unique())
    value = {
        "simulators": simulators,
        "rows": {
            "dataset": rows["place"].tolist(),
            "simulator": rows["simulator"].map(simulators.index).tolist(),
            "seed": rows["seed"].tolist(),
            "instance": rows["instance"].tolist(),
        },
        "sections": [[name, a.dtype.str[1:], int(a.size)] for name, a in arrays.items()],
    }
    # Level 4 is within a tenth of the smallest, in a third of the time.
    return value, base64.b64encode(zlib.compress(block, 4)).decode("ascii")


def _clicks(
    frame: pd.DataFrame, cell: np.ndarray, cells: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """How many clicks each cell's trace has, and their y, x and kind in the order of the cells.

    cell: of each trace, in the order of its key.
    """
    click = frame["click"].to_numpy()
    # The clicks of a trace follow each other; its first row has click 1, or 0 if it has none.
    first = np.flatnonzero(click <= 1)
    lengths = np.diff(np.append(first, len(frame)))
    lengths[click[first] == 0] = 0
    keys = frame[list(TRACE_KEY)].iloc[first].reset_index(drop=True)
    by_key = keys.sort_values(list(TRACE_KEY)).index.to_numpy()
    # Trace files of one run come sorted by key; those of several merged runs do not.
    cell_of = np.empty(len(first), np.int64)
    cell_of[by_key] = cell
    counts = np.zeros(cells, "<u2")
    counts[cell_of] = lengths
    in_order = np.argsort(cell_of, kind="stable")
    total = int(lengths.sum())
    # The rows of the frame, trace after trace in the order of the cells.
    starts = np.repeat(first[in_order], lengths[in_order])
    steps = np.arange(total) - np.repeat(
        np.cumsum(lengths[in_order]) - lengths[in_order], lengths[in_order]
    )
    taken = starts + steps
    y, x = (
        np.clip(np.round(np.nan_to_num(frame[name].to_numpy()[taken])), 0, NOT_A_NUMBER).astype(
            "<u2"
        )
        for name in ("y", "x")
    )
    kinds = pd.Index(KINDS).get_indexer(pd.Index(frame["kind"].to_numpy()[taken]))
    return counts, y, x, kinds.astype(np.uint8)


def safe_json(value: Any) -> str:
    """A value as JSON that may stand inside a <script>: without <, > and &, in ASCII.

    >>> safe_json({"a": "</script>"})
    '{"a":"\\\\u003c/script\\\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def rounded(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """Numbers for JSON: rounded, NaN as null.

    >>> rounded([0.123456, float("nan")])
    [0.1235, None]
    """
    return [None if np.isnan(value) else round(float(value), digits) for value in values]
