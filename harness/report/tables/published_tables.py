"""Tables of published numbers, with what was measured here beside them."""

from collections.abc import Iterable

import pandas as pd

from ..results.published import published_table
from .table import DASH, Cell, Notes, Row, Table, printed_value

#: The text in place of a published row's training set.
MEASURED = "measured here"


def published_tables(
    published: pd.DataFrame, datasets: Iterable[str], measured: pd.DataFrame
) -> list[Table]:
    """A table of published numbers for each data set that has any, grouped by training set.

    measured: a leaderboard. Its rows come first in each table, in the metrics that papers give, if
    they are complete, on the whole data set and not of a method with access to the ground truth.
    """
    tables = []
    for dataset in datasets:
        table = published_table(published, dataset)
        if table.empty:
            continue
        metrics = list(table.columns[4:])
        notes = Notes()
        rows = _measured_rows(measured.loc[measured["dataset"] == dataset], metrics, notes)
        for record in table.to_dict("records"):
            source = notes.number([f"Source: {record['source']}."])
            group = record["train"] or "not stated"
            first = not rows or rows[-1].group != group
            cells = [
                Cell(group if first else ""),
                Cell(record["method"], dagger=True, notes=source),
                Cell(record["backbone"] or DASH),
                *(Cell(record[name] or DASH) for name in metrics),
            ]
            rows.append(Row(cells, group=group))
        remark = (
            "† Published numbers, not measured here. Simulators, budgets and code differ between "
            "sources. IoU@k: mean IoU in percent after k clicks."
        )
        columns = ["Trained on", "Method", "Backbone", *metrics]
        title = f"{dataset}: published numbers †"
        tables.append(Table(dataset, title, columns, rows, 3, notes.texts, [remark], True))
    return tables


def _measured_rows(frame: pd.DataFrame, metrics: list[str], notes: Notes) -> list[Row]:
    rows: list[Row] = []
    whole = (frame["subset"] == "") & (frame["traces"] >= frame["planned"])
    for record in frame.loc[whole & ~frame["sees_truth"].astype(bool)].to_dict("records"):
        texts = [_value(record, name, frame) for name in metrics]
        about = [f"Trained on {record['trained_on']}."] if record["trained_on"] else []
        name = Cell(
            record["method"], notes=notes.number(about), contaminated=bool(record["contaminated"])
        )
        first = Cell("" if rows else MEASURED)
        rows.append(
            Row([first, name, Cell(DASH), *map(Cell, texts)], group=MEASURED, measured=True)
        )
    return rows


def _value(record: dict, metric: str, frame: pd.DataFrame) -> str:
    """A metric as papers name it: their IoU@k is our mIoU@k."""
    ours = f"m{metric}" if metric.startswith("IoU") else metric
    return printed_value(ours, record.get(ours, float("nan")), frame)
