"""The leaderboard as a data frame: one row per method, data set and simulator."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...errors import UserError
from ...files import read_cell
from ...metrics import intervals, scores
from ...store.timing import seconds_per_click
from .runs import Results, Run, curves_of, images_of, load_results
from .training_overlap import includes

#: IoU targets of NoC@t and NoF@t in percent, and clicks of mIoU@k, as the field's tables have them.
NOC = (80, 85, 90, 95)
NOF = (80, 85, 90, 95)
MIOU = (1, 2, 3, 4, 5, 10, 20)
#: The ends of a metric's interval stand in columns of its name and these endings.
LOW, HIGH = "_low", "_high"

_METRIC = re.compile(r"(NoC|NoF|mIoU|mBIoU)@\d+|AuC|SPC")

_TEXT = ["method", "dataset", "simulator", "opening", "subset"]
_TEXT += ["weights", "weights_sha256", "trained_on", "departures"]
_COUNT = ["clicks", "seeds", "instances", "images", "traces", "planned", "failures", "excluded"]
_COUNT += ["chosen", "available"]
_TEXT += ["timed_on"]
_FLAG = ["sees_truth", "contaminated", "corrections"]


def leaderboard(
    runs: Path | str | Run | Iterable[Path | str | Run],
    noc: Sequence[int] = NOC,
    nof: Sequence[int] = NOF,
    miou: Sequence[int] = MIOU,
) -> pd.DataFrame:
    """The leaderboard of one or several run directories.

    noc, nof: IoU targets in percent. miou: numbers of clicks.

    Columns: `method, dataset, simulator, clicks` (the budget), `stop_at` (NaN: ran to the end),
    `time_limit` (NaN: none), `seeds`; then `NoC@t`, `NoF@t` (mean over the seeds), `mIoU@k`,
    `AuC` (both in [0, 1]), where boundary IoU was scored `mBIoU@k`, and where there was a timing
    pass `SPC` (seconds); NaN where not defined. Each metric but SPC has `..._low` and `..._high`
    beside it, its 95% bootstrap interval (`statistics.mean_interval`, drawing whole images),
    equal for equal traces. Then `timed_on` (device and number of instances of SPC);
    `instances` and `images` (distinct ones scored), `traces` (finished, of any status), `planned`
    (traces the run is to have), `failures` (traces on which the method failed; they count
    against it), `excluded` (traces where data or simulator failed; not scored); `chosen` of the
    `available` instances of the data set as published and why (`subset`, "" for all); what the
    manifest records of the method: `sees_truth, corrections, opening, weights, weights_sha256,
    trained_on, contaminated` (trained on this data set), `departures`.

    Rows are sorted by data set, in the manifest's order, then best first: by NoC@90, then mIoU@20.

    Raises UserError when the runs cannot be read or compared.
    """
    return leaderboard_of(load_results(runs), noc, nof, miou)


def leaderboard_of(
    results: Results,
    noc: Sequence[int] = NOC,
    nof: Sequence[int] = NOF,
    miou: Sequence[int] = MIOU,
    curves: scores.IoUCurves | None = None,
) -> pd.DataFrame:
    """`leaderboard` of loaded results; curves: theirs, if computed already."""
    if curves is None:
        curves = curves_of(results)
    boundary = None
    if "boundary_iou" in results.traces:
        boundary = curves_of(results, "boundary_iou").ious
    traces = curves.traces
    images = traces["image"].to_numpy() if "image" in traces else images_of(results, traces)
    names = [*(f"NoC@{t}" for t in noc), *(f"NoF@{t}" for t in nof)]
    names += [*(f"mIoU@{k}" for k in miou), "AuC"]
    names += [f"mBIoU@{k}" for k in miou] if boundary is not None else []
    groups = traces.groupby(["method", "dataset", "simulator"], observed=True, sort=True).indices
    found: dict[tuple[str, str], list[tuple[str, np.ndarray]]] = {}
    for (method, dataset, simulator), rows in groups.items():  # pyright: ignore
        found.setdefault((method, dataset), []).append((simulator, rows))
    table = []
    for method, dataset in results.planned:
        nothing = [(results.protocol.simulator, np.array([], int))]
        for simulator, rows in found.get((method, dataset), nothing):
            row: dict[str, Any] = {"method": method, "dataset": dataset, "simulator": simulator}
            row |= _protocol(results, traces.iloc[rows])
            scored = rows[curves.scored[rows]]
            seeds = max(traces["seed"].iloc[scored].nunique(), 1)
            row |= _values(curves.ious, boundary, images, scored, seeds, names, row["stop_at"])
            row |= _timing(results, method, dataset)
            row |= _counts(curves, rows, results.planned[method, dataset])
            row["images"] = len(np.unique(images[scored]))
            row |= _subset(results, dataset)
            row |= _provenance(results, method, dataset)
            table.append(row)
    return best_first(pd.DataFrame(table))


def _protocol(results: Results, traces: pd.DataFrame) -> dict[str, Any]:
    stop_at, time_limit = results.protocol.stop_at, results.protocol.time_limit
    return {
        "clicks": results.protocol.clicks,
        "stop_at": np.nan if stop_at is None else stop_at,
        "time_limit": np.nan if time_limit is None else time_limit,
        "seeds": traces["seed"].nunique(),
    }


def _values(
    ious: np.ndarray,
    boundary: np.ndarray | None,
    images: np.ndarray,
    scored: np.ndarray,
    seeds: int,
    names: list[str],
    stop_at: float,
) -> dict[str, float]:
    """The metrics of one row, each with its interval.

    scored: the row's traces that count. A run stopped at an IoU gives no information about higher
    targets, nor about the mean after a number of clicks.
    """
    mine = ious[scored]
    theirs = None if boundary is None else boundary[scored]
    values = np.full((len(scored), len(names)), np.nan)
    points = np.full(len(names), np.nan)
    scales = np.ones(len(names))
    for column, name in enumerate(names):
        metric, at = scores.parse_metric(name)
        known = np.isnan(stop_at) or (metric in ("NoC", "NoF") and at / 100 <= stop_at)
        if not known or not len(scored):
            continue
        source = theirs if metric == "mBIoU" and theirs is not None else mine
        values[:, column] = scores.trace_values(source, name)
        if metric == "NoF":
            scales[column] = len(scored) / seeds
        points[column] = values[:, column].mean() * scales[column]
    low, high = intervals.mean_interval(values, images[scored])
    found: dict[str, float] = {}
    for column, name in enumerate(names):
        found[name] = float(points[column])
        found[name + LOW] = float(low[column] * scales[column])
        found[name + HIGH] = float(high[column] * scales[column])
    return found


def _timing(results: Results, method: str, dataset: str) -> dict[str, Any]:
    """SPC, where any row may have one."""
    if results.timing.empty:
        return {"timed_on": ""}
    timing = results.timing
    mine = timing.loc[(timing["method"] == method) & (timing["dataset"] == dataset)]
    devices = ", ".join(sorted(mine["device"].unique()))
    where = f"{devices}; {mine['instance'].nunique()} instances" if len(mine) else ""
    return {"SPC": seconds_per_click(mine), "timed_on": where}


def _counts(curves: scores.IoUCurves, rows: np.ndarray, planned: int) -> dict[str, int]:
    scored = rows[curves.scored[rows]]
    return {
        "instances": curves.traces["instance"].iloc[scored].nunique(),
        "traces": len(rows),
        "planned": planned,
        "failures": int(curves.failed[rows].sum()),
        "excluded": len(rows) - len(scored),
    }


def _subset(results: Results, dataset: str) -> dict[str, Any]:
    entry = results.datasets[dataset]
    all_of_it = entry.published or entry.instances
    why = [] if entry.planned == entry.instances else [entry.subset]
    if entry.instances != all_of_it:
        why.append(f"the copy scored here holds {entry.instances}")
    return {"chosen": entry.planned, "available": all_of_it, "subset": ", ".join(why)}


def _provenance(results: Results, method: str, dataset: str) -> dict[str, Any]:
    entry = results.methods[method]
    trained_on = entry.weights.trained_on if entry.weights else []
    return {
        "sees_truth": entry.sees_truth,
        "corrections": entry.corrections,
        "opening": entry.opening,
        "weights": entry.weights.name if entry.weights else "",
        "weights_sha256": entry.weights.sha256 if entry.weights else "",
        "trained_on": ", ".join(trained_on),
        "contaminated": any(includes(name, dataset) for name in trained_on),
        "departures": "; ".join(entry.departures),
    }


def best_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by data set in order of appearance, then by NoC@90, mIoU@20, the other metrics, name."""
    if frame.empty:
        return frame
    keys = frame.assign(_dataset=pd.factorize(frame["dataset"])[0])
    leading = [name for name in ("NoC@90", "mIoU@20") if name in frame]
    by = leading + [name for name in metric_columns(frame) if name not in leading]
    ascending = [True, *(scores.lower_is_better(name) for name in by), True]
    keys = keys.sort_values(["_dataset", *by, "method"], ascending=ascending, kind="stable")
    return frame.loc[keys.index].reset_index(drop=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a leaderboard that are metrics, such as NoC@90, in order."""
    return [str(name) for name in frame.columns if _METRIC.fullmatch(str(name))]


def read_leaderboard(path: Path) -> pd.DataFrame:
    """A leaderboard.csv as the frame it was written from, to the last bit.

    Raises UserError when the file is missing or is no leaderboard.
    """
    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
        missing = [name for name in (*_TEXT, *_FLAG, *_COUNT, "stop_at") if name not in frame]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
        for name in _TEXT:
            frame[name] = [read_cell(text) for text in frame[name]]
        flags = {"True": True, "False": False}
        for name in frame.columns.difference(_TEXT):
            values = frame[name].tolist()
            if name in _FLAG:
                frame[name] = [flags[text] for text in values]
            elif name in _COUNT:
                frame[name] = [int(text) for text in values]
            else:
                frame[name] = [float(text) if text else np.nan for text in values]
        return frame
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a leaderboard this package wrote: {error}") from error
