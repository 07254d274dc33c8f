"""The leaderboard as a data frame: one row per method, data set and simulator."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from .. import metrics
from ..errors import UserError
from .naming import base_name
from .runs import Results, Run, load_results

#: IoU targets of NoC@t and NoF@t in percent, and clicks of mIoU@k, as the field's tables have them.
NOC = (85, 90)
NOF = (90,)
MIOU = (1, 3, 5, 10, 20)

_TEXT = ["method", "dataset", "simulator", "opening", "subset"]
_TEXT += ["weights", "weights_sha256", "trained_on", "departures"]
_COUNT = ["clicks", "seeds", "instances", "traces", "planned", "failures", "excluded"]
_COUNT += ["chosen", "available"]
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
    `seeds`; then `NoC@t`, `NoF@t` (mean over the seeds) and `mIoU@k` (in [0, 1]), NaN where not
    defined; `instances` (distinct ones scored), `traces` (finished, of any status), `planned`
    (traces the run is to have), `failures` (traces the method spoiled; they count against it),
    `excluded` (traces where data or simulator failed; they count for nobody); `chosen` of the
    `available` instances of the data set and how (`subset`, "" for all); what the manifest says of
    the method: `sees_truth, corrections, opening, weights, weights_sha256, trained_on,
    contaminated` (trained on this data set), `departures`.

    Rows are sorted by data set, in the manifest's order, then best first: by NoC@90, then mIoU@20.

    Raises UserError when the runs cannot be read or compared.
    """
    return leaderboard_of(load_results(runs), noc, nof, miou)


def leaderboard_of(
    results: Results,
    noc: Sequence[int] = NOC,
    nof: Sequence[int] = NOF,
    miou: Sequence[int] = MIOU,
    curves: metrics.IoUCurves | None = None,
) -> pd.DataFrame:
    """`leaderboard` of results already loaded; `curves` where they are at hand too."""
    if curves is None:
        curves = metrics.iou_curves(results.traces, results.protocol.clicks)
    traces = curves.traces
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
            row |= _values(curves, rows, results.protocol.stop_at, noc, nof, miou)
            row |= _counts(curves, rows, results.planned[method, dataset])
            row |= _subset(results, dataset)
            row |= _provenance(results, method, dataset)
            table.append(row)
    return best_first(pd.DataFrame(table))


def _protocol(results: Results, traces: pd.DataFrame) -> dict[str, Any]:
    stop_at = results.protocol.stop_at
    return {
        "clicks": results.protocol.clicks,
        "stop_at": np.nan if stop_at is None else stop_at,
        "seeds": traces["seed"].nunique(),
    }


def _values(
    curves: metrics.IoUCurves,
    rows: np.ndarray,
    stop_at: float | None,
    noc: Sequence[int],
    nof: Sequence[int],
    miou: Sequence[int],
) -> dict[str, float]:
    """The metrics of one row. A run stopped at an IoU says nothing about higher targets, nor
    about the mean after a number of clicks."""
    rows = rows[curves.scored[rows]]
    ious = curves.ious[rows]
    seeds = max(curves.traces["seed"].iloc[rows].nunique(), 1)
    values = {}
    for percent in noc:
        known = stop_at is None or percent / 100 <= stop_at
        values[f"NoC@{percent}"] = metrics.noc(ious, percent / 100) if known else np.nan
    for percent in nof:
        known = len(ious) > 0 and (stop_at is None or percent / 100 <= stop_at)
        values[f"NoF@{percent}"] = metrics.nof(ious, percent / 100) / seeds if known else np.nan
    for clicks in miou:
        values[f"mIoU@{clicks}"] = metrics.miou(ious, clicks) if stop_at is None else np.nan
    return values


def _counts(curves: metrics.IoUCurves, rows: np.ndarray, planned: int) -> dict[str, int]:
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
    whole = entry.planned == entry.instances
    return {
        "chosen": entry.planned,
        "available": entry.instances,
        "subset": "" if whole else entry.subset,
    }


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
        "contaminated": base_name(dataset) in {base_name(name) for name in trained_on},
        "departures": "; ".join(entry.departures),
    }


def best_first(frame: pd.DataFrame) -> pd.DataFrame:
    """Rows by data set in order of appearance, then by NoC@90, mIoU@20, the other metrics, name."""
    if frame.empty:
        return frame
    keys = frame.assign(_dataset=pd.factorize(frame["dataset"])[0])
    leading = [name for name in ("NoC@90", "mIoU@20") if name in frame]
    by = leading + [name for name in metric_columns(frame) if name not in leading]
    ascending = [True, *(not name.startswith("mIoU") for name in by), True]
    keys = keys.sort_values(["_dataset", *by, "method"], ascending=ascending, kind="stable")
    return frame.loc[keys.index].reset_index(drop=True)


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a leaderboard that are metrics, such as NoC@90, in order."""
    names = [str(name) for name in frame.columns]
    return [name for name in names if name.partition("@")[0] in ("NoC", "NoF", "mIoU")]


def read_leaderboard(path: Path) -> pd.DataFrame:
    """A leaderboard.csv as the frame it was written from, to the last bit.

    Raises UserError when the file is missing or is no leaderboard.
    """
    try:
        frame = pd.read_csv(path, dtype="str", keep_default_na=False, encoding="utf-8")
        missing = [name for name in (*_TEXT, *_FLAG, *_COUNT, "stop_at") if name not in frame]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
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
