"""Numbers from papers, to be shown beside measured ones and never mistaken for them."""

import csv
import re
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable

import pandas as pd

from ...errors import UserError
from .training_overlap import base_name

COLUMNS = ["method", "backbone", "train", "dataset", "metric", "value", "source"]

_METRIC = re.compile(r"(NoC|NoF|IoU)@\d+(\.\d+)?")
_VALUE = re.compile(r"([<>]?)(\d+(?:\.\d+)?)")


def read_published(folder: Traversable | None = None) -> pd.DataFrame:
    """All published numbers that ship with the package, or the CSV files of another folder.

    Columns: those of COLUMNS, where `value` is the text as printed in the source (so that 2.50
    keeps its zero), plus `number` (float64) and `bound` ("", ">" or "<"). `IoU@k` is in percent.
    An unknown backbone or training set is "".

    Raises UserError naming file and line for a row that is not of this form.
    """
    folder = folder or files("isegbench.results.published")
    rows = []
    tables = sorted((f for f in folder.iterdir() if f.name.endswith(".csv")), key=lambda f: f.name)
    for table in tables:
        reader = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
        if reader.fieldnames != COLUMNS:
            raise UserError(f"{table}: the columns must be {','.join(COLUMNS)}")
        for row in reader:
            rows.append(_checked(row, f"{table}, line {reader.line_num}"))
    return pd.DataFrame(rows, columns=[*COLUMNS, "number", "bound"])


def _checked(row: dict, where: str) -> dict:
    if None in row or None in row.values():
        raise UserError(f"{where}: not {len(COLUMNS)} values")
    row = {name: text.strip() for name, text in row.items()}
    if not _METRIC.fullmatch(row["metric"]):
        raise UserError(f"{where}: metric {row['metric']!r} must be NoC@t, NoF@t or IoU@k")
    value = _VALUE.fullmatch(row["value"])
    if not value:
        raise UserError(f"{where}: value {row['value']!r} must be a number, perhaps after > or <")
    for name in ("method", "dataset", "source"):
        if not row[name]:
            raise UserError(f"{where}: {name} is empty")
    for name in ("backbone", "train"):
        row[name] = "" if row[name] == "-" else row[name]
    return row | {"number": float(value[2]), "bound": value[1]}


def published_on(frame: pd.DataFrame, datasets: Iterable[str]) -> pd.DataFrame:
    """The published numbers on given data sets; `sbd[0:100]` finds those on `sbd`."""
    wanted = {base_name(name) for name in datasets}
    chosen = [name.lower() in wanted for name in frame["dataset"]]
    return frame.loc[chosen].reset_index(drop=True)


def published_table(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Published numbers on one data set, one row per training set, method, backbone and source.

    Columns: `train, method, backbone, source`, then each metric there is, as printed text, ""
    where the source is silent. Grouped by training set, the unknown last; within one sorted by
    NoC@90 where there is one, bounds after numbers.
    """
    rows = published_on(frame, [dataset])
    by = ["train", "method", "backbone", "source"]
    if rows.empty:
        return pd.DataFrame(columns=by)
    metrics = sorted(rows["metric"].unique(), key=_metric_order)
    table = rows.pivot_table(index=by, columns="metric", values="value", aggfunc="first")
    table = table.reindex(columns=metrics).fillna("").reset_index()
    table.columns.name = None
    rank: dict[tuple, tuple[bool, float]] = {}
    for row in rows.to_dict("records"):
        if row["metric"] == "NoC@90":
            rank[tuple(row[name] for name in by)] = (row["bound"] == ">", row["number"])
    keys = [tuple(row[name] for name in by) for row in table.to_dict("records")]

    def position(row: int) -> tuple:
        train, method, *_ = keys[row]
        bounded, number = rank.get(keys[row], (True, float("inf")))
        return (train == "", train.lower(), bounded, number, method.lower())

    return table.iloc[sorted(range(len(table)), key=position)].reset_index(drop=True)


def _metric_order(metric: str) -> tuple[int, float]:
    name, _, at = metric.partition("@")
    return ("NoC", "NoF", "IoU").index(name), float(at)
