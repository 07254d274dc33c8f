"""Tables to be printed: what each cell says, what is bold, which notes stand below.

The formats (Markdown, LaTeX, the terminal) only spell these out.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import pandas as pd

from .leaderboard import metric_columns
from .published import published_table

DASH = "–"

#: What the numbers are, for the foot of a report.
DEFINITIONS = (
    "NoC@t: mean number of clicks to reach IoU t (in percent); an instance that never does counts "
    "as the whole budget. Every click counts, also those of an opening.",
    "NoF@t: number of instances that never reach IoU t (mean over the seeds). Success at exactly "
    "the last click is a success; the scripts of the RITM family count it as a failure.",
    "mIoU@k: mean IoU after k clicks, in percent; a trace that ended early keeps its last IoU.",
    "A failure of the method counts against it: IoU 0 from the failed click on. Instances whose "
    "data or simulated clicks failed count for nobody.",
    "Bold: the best of the complete rows whose method does not see the truth.",
)


@dataclass(frozen=True)
class Cell:
    """Plain text, and how it is set. notes: numbers of the table's notes."""

    text: str
    bold: bool = False
    dagger: bool = False
    notes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Row:
    """Cells left to right. group: a rule separates rows of different groups."""

    cells: list[Cell]
    group: str = ""
    italic: bool = False


@dataclass(frozen=True)
class Table:
    """A table of one data set. text_columns: how many columns, from the left, are not numbers."""

    dataset: str
    title: str
    columns: list[str]
    rows: list[Row]
    text_columns: int = 1
    notes: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    published: bool = False


class _Notes:
    """Numbered notes; equal ones share a number."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def number(self, texts: Iterable[str]) -> tuple[int, ...]:
        numbers = []
        for text in texts:
            if text not in self.texts:
                self.texts.append(text)
            numbers.append(self.texts.index(text) + 1)
        return tuple(numbers)


def measured_tables(frame: pd.DataFrame) -> list[Table]:
    """One table per data set and simulator of a `leaderboard` frame, rows in the frame's order."""
    if frame.empty:
        return []
    groups = frame.groupby(["dataset", "simulator"], sort=False)
    return [_measured(str(dataset), rows) for (dataset, _), rows in groups]  # pyright: ignore


def _measured(dataset: str, frame: pd.DataFrame) -> Table:
    metrics = metric_columns(frame)
    shown = {name: [_shown(name, value, frame) for value in frame[name]] for name in metrics}
    complete = frame["traces"].to_numpy() >= frame["planned"].to_numpy()
    competes = (complete & ~frame["sees_truth"].to_numpy(bool)).tolist()
    best = {name: _best(name, shown[name], competes) for name in metrics}
    notes = _Notes()
    rows = []
    for index, record in enumerate(frame.to_dict("records")):
        cells = [Cell(record["method"], notes=notes.number(_about_method(record)))]
        for name in metrics:
            text = shown[name][index]
            cells.append(Cell(text, bold=competes[index] and text == best[name]))
        cells.append(Cell(_instances(record), notes=notes.number(_about_instances(record))))
        cells.append(Cell(str(record["failures"])))
        rows.append(Row(cells, italic=bool(record["sees_truth"])))
    columns = ["Method", *metrics, "Instances", "Failures"]
    return Table(
        dataset, _title(dataset, frame), columns, rows, 1, notes.texts, _remarks(frame, shown)
    )


def _shown(metric: str, value: float, frame: pd.DataFrame) -> str:
    if pd.isna(value):
        return DASH
    if metric.startswith("NoF"):
        return f"{value:.0f}" if max(frame["seeds"]) <= 1 else f"{value:.1f}"
    return f"{100 * value:.1f}" if metric.startswith("mIoU") else f"{value:.2f}"


def _best(metric: str, shown: list[str], competes: list[bool]) -> str | None:
    """The best text of a column. Numbers that print alike are equally good."""
    texts = [t for t, full in zip(shown, competes, strict=True) if full and t != DASH]
    if not texts:
        return None
    return max(texts, key=float) if metric.startswith("mIoU") else min(texts, key=float)


def _title(dataset: str, frame: pd.DataFrame) -> str:
    row = frame.iloc[0]
    stopped = "" if pd.isna(row["stop_at"]) else f", stopped at IoU {row['stop_at']:g}"
    return f"{dataset}: {row['simulator']}, up to {row['clicks']} clicks{stopped}"


def _about_method(record: dict) -> list[str]:
    notes = []
    if record["sees_truth"]:
        notes.append("Sees the ground truth: a bound, not a competitor.")
    if record["contaminated"]:
        notes.append(
            f"Its weights were trained on {record['trained_on']}, which includes this data set: "
            "its numbers here may be too good."
        )
    if record["weights"]:
        trained = record["trained_on"] or "data its checkpoint does not name"
        sha256 = record["weights_sha256"][:12]
        notes.append(f"Weights {record['weights']} (sha256 {sha256}), trained on {trained}.")
    if record["departures"]:
        notes.append(f"Departs from the common protocol: {record['departures'].rstrip('.')}.")
    if not record["corrections"]:
        notes.append("Predicts once, from its opening; what follows repeats that IoU.")
    return notes


def _about_instances(record: dict) -> list[str]:
    notes = []
    if record["traces"] < record["planned"]:
        notes.append(
            f"Incomplete: {record['traces']} of {record['planned']} traces are finished; "
            "the numbers are of those and will change."
        )
    if record["excluded"]:
        many = "trace is" if record["excluded"] == 1 else "traces are"
        notes.append(
            f"{record['excluded']} {many} left out, because the data or the simulator failed."
        )
    return notes


def _instances(record: dict) -> str:
    if record["traces"] < record["planned"]:
        return f"{record['traces']} of {record['planned']}"
    seeds = f" × {record['seeds']} seeds" if record["seeds"] > 1 else ""
    return f"{record['instances']}{seeds}"


def _remarks(frame: pd.DataFrame, shown: dict[str, list[str]]) -> list[str]:
    remarks = []
    first = frame.iloc[0]
    if first["subset"]:
        remarks.append(
            f"Not the whole data set: {first['chosen']} of {first['available']} "
            f"instances ({first['subset']}). "
            "Not comparable with numbers on all of it."
        )
    stop_at = frame["stop_at"].iloc[0]
    if not pd.isna(stop_at):
        remarks.append(
            f"The run stopped each trace at IoU {stop_at:g}: NoC and NoF above it, and mIoU, "
            f"are not defined ({DASH})."
        )
        return remarks
    scored = [count > 0 for count in frame["instances"]]
    undefined = [
        name
        for name, texts in shown.items()
        if any(text == DASH and some for text, some in zip(texts, scored, strict=True))
    ]
    budget = frame["clicks"].iloc[0]
    reasons = []
    if any(name.startswith("mIoU") and _at(name) <= budget for name in undefined):
        reasons.append("the method had not predicted yet, its opening takes more clicks")
    if any(name.startswith("mIoU") and _at(name) > budget for name in undefined):
        reasons.append(f"the budget is {budget} clicks")
    if not all(scored):
        reasons.append("no trace counts yet")
    if reasons:
        remarks.append(f"{DASH}: not defined ({'; or '.join(reasons)}).")
    return remarks


def _at(metric: str) -> int:
    return int(metric.partition("@")[2])


def published_tables(published: pd.DataFrame, datasets: Iterable[str]) -> list[Table]:
    """A table of published numbers for each data set that has any, grouped by training set."""
    tables = []
    for dataset in datasets:
        table = published_table(published, dataset)
        if table.empty:
            continue
        metrics = list(table.columns[4:])
        notes = _Notes()
        rows = []
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
