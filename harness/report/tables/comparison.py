"""Methods against a baseline, instance by instance."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ...errors import UserError, nearest
from ...metrics import intervals, scores
from ..results.runs import Results, curves_of
from .table import DASH, Cell, Row, Table

_KEY = ["dataset", "simulator", "instance"]


def comparison(results: Results, baseline: str, names: Sequence[str] = ("NoC@90",)) -> pd.DataFrame:
    """Every other method of some results against `baseline`, one row a data set and metric.

    names: metrics that `scores.parse_metric` accepts.

    Columns: `dataset, simulator, metric, method, baseline, instances` (those that count for both),
    `value, baseline_value` (on these instances), `difference` (method less baseline; of NoF in
    instances), `low, high` (its 95% bootstrap interval, drawing whole images), `p_value` (sign-flip
    permutation test, two-sided, one flip an image), `wins, ties, losses` (instances on which the
    method is better than, equal to, worse than the baseline). Where both have several seeds an
    instance's value is the mean over those they share. P-values are of single comparisons: of
    twenty true ties one falls below 0.05 by chance.

    Raises UserError for a baseline or a metric the results do not have.
    """
    if baseline not in results.methods:
        raise UserError(f"no method {baseline!r} here: {nearest(baseline, results.methods)}")
    if len(results.methods) < 2:
        raise UserError(f"{baseline} is the only method here: there is nothing to compare it with")
    rows = []
    for name in names:
        kind, at = scores.parse_metric(name)
        stop_at = results.protocol.stop_at
        if stop_at is not None and (kind not in ("NoC", "NoF") or at / 100 > stop_at):
            raise UserError(f"{name} is not defined: the traces stopped at IoU {stop_at:g}")
        if kind == "mBIoU" and "boundary_iou" not in results.traces:
            raise UserError(f"{name} was not scored: run with --boundary-iou")
        curves = curves_of(results, "boundary_iou" if kind == "mBIoU" else "iou")
        scored = curves.traces.loc[curves.scored, [*_KEY, "method", "seed", "image"]].astype(
            {column: "str" for column in (*_KEY, "method")}
        )
        scored["value"] = scores.trace_values(curves.ious[curves.scored], name)
        for method in results.methods:
            if method != baseline:
                rows += _against(scored, method, baseline, name, list(results.datasets))
    return pd.DataFrame(rows, columns=list(COLUMNS))


COLUMNS = (
    *("dataset", "simulator", "metric", "method", "baseline", "instances", "value"),
    *("baseline_value", "difference", "low", "high", "p_value", "wins", "ties", "losses"),
)


def _against(
    scored: pd.DataFrame, method: str, baseline: str, metric: str, datasets: list[str]
) -> list[dict]:
    one, other = (scored[scored["method"] == name] for name in (method, baseline))
    pairs = one.merge(other, on=[*_KEY, "seed"], suffixes=("", "_baseline"))
    columns = {"value": "mean", "value_baseline": "mean", "image": "first"}
    pairs = pairs.groupby(_KEY, sort=True, observed=True).agg(columns).reset_index()
    pairs = pairs.loc[pairs["value"].notna() & pairs["value_baseline"].notna()]
    rows = []
    for dataset in datasets:
        for simulator, part in pairs.loc[pairs["dataset"] == dataset].groupby("simulator"):
            values, others = part["value"].to_numpy(), part["value_baseline"].to_numpy()
            found = intervals.compare(
                values, others, part["image"].to_numpy(), scores.lower_is_better(metric)
            )
            # NoF is a count: its mean per instance is not a usual number.
            scale = len(part) if metric.startswith("NoF") else 1
            numbers = [values.mean(), others.mean(), found.difference, found.low, found.high]
            counts = (found.wins, found.ties, found.losses)
            row = (dataset, simulator, metric, method, baseline, len(part))
            row += (*(float(scale * number) for number in numbers), found.p_value, *counts)
            rows.append(dict(zip(COLUMNS, row, strict=True)))
    return rows


def comparison_tables(frame: pd.DataFrame) -> list[Table]:
    """A table for each data set and metric of a `comparison`, in a form every format can print."""
    groups = frame.groupby(["dataset", "simulator", "metric"], sort=False)
    return [_table(*key, rows) for key, rows in groups]  # pyright: ignore


def _table(dataset: str, simulator: str, metric: str, frame: pd.DataFrame) -> Table:
    rows = []
    for record in frame.to_dict("records"):
        numbers = [_shown(metric, record[name]) for name in ("value", "baseline_value")]
        interval = " to ".join(_shown(metric, record[end], True) for end in ("low", "high"))
        unsure = pd.isna(record["low"])
        cells = [
            Cell(record["method"]),
            *(Cell(text) for text in numbers),
            Cell(_shown(metric, record["difference"], True)),
            Cell(DASH if unsure else interval),
            Cell(p_text(record["p_value"])),
            *(Cell(str(record[name])) for name in ("wins", "ties", "losses", "instances")),
        ]
        rows.append(Row(cells))
    columns = ["Method", metric, "Baseline", "Difference", "95% interval", "p"]
    columns += ["Wins", "Ties", "Losses", "Instances"]
    better = "below" if scores.lower_is_better(metric) else "above"
    remarks = [
        f"Difference: method less baseline; {better} 0 the method is better. Interval: paired "
        "bootstrap drawing whole images. p: two-sided sign-flip permutation test, not corrected "
        "for the number of comparisons. Wins: instances on which the method is better."
    ]
    title = f"{dataset}: {metric} against {frame['baseline'].iloc[0]} ({simulator})"
    return Table(dataset, title, columns, rows, 1, [], remarks, published=True)


def _shown(metric: str, value: float, signed: bool = False) -> str:
    if pd.isna(value):
        return DASH
    kind = metric.partition("@")[0]
    digits = 2 if kind == "NoC" else 1
    number = 100 * value if kind in ("mIoU", "mBIoU", "AuC") else value
    text = f"{number:+.{digits}f}" if signed else f"{number:.{digits}f}"
    return text.replace("-", "−")


def p_text(p: float) -> str:
    """A p-value as papers print it.

    >>> p_text(0.0321), p_text(0.00002), p_text(1.0)
    ('0.032', '< 0.001', '1.000')
    """
    if np.isnan(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
