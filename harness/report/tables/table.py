"""Tables as values: the text of each cell, what is bold, and the notes of a table.

The formats (Markdown, LaTeX, the terminal) only spell these out.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ...errors import UserError, nearest
from ...metrics.scores import lower_is_better
from ..results.leaderboard import HIGH, LOW, metric_columns

DASH = "–"

#: The columns a table shows by default, of those the leaderboard has: the field's usual
#: numbers, and those that a user has switched on. `all` shows all of them.
SHOWN = (
    *("NoC@85", "NoC@90", "NoF@90", "mIoU@1", "mIoU@3", "mIoU@5", "mIoU@10", "mIoU@20"),
    *("mBIoU@1", "mBIoU@5", "mBIoU@20", "SPC"),
)
#: Intervals from fewer images than this are too narrow to be reliable, and tables carry a warning.
FEW_IMAGES = 20
#: The protocol that most papers share; tables remark on what departs from it.
COMMON_SIMULATOR, COMMON_CLICKS = "largest-error", 20
#: The group of methods without training.
UNTRAINED = "Without trained weights"

#: What the numbers are, for the foot of a report.
DEFINITIONS = (
    "NoC@t: mean number of clicks to reach IoU t (in percent); an instance that never does counts "
    "as the whole budget. Every click counts, also those of an opening.",
    "NoF@t: number of instances that never reach IoU t (mean over the seeds). Success at exactly "
    "the last click is a success; the scripts of the RITM family count it as a failure.",
    "mIoU@k: mean IoU after k clicks, in percent; a trace that ended early keeps its last IoU. "
    "mBIoU@k: the same of boundary IoU (Cheng et al. 2021; 2% of the diagonal; ignored pixels "
    "belong to no boundary and make none).",
    "AuC: area under IoU against clicks, by the trapezoidal rule from the first click to the end "
    "of the budget, in percent of a perfect mask from the first click on; before the first "
    "prediction IoU is 0.",
    "SPC: seconds per click of one interactive user, measured apart from the run: batch 1, the "
    "device waited for, after a warm-up.",
    "Small numbers: 95% bootstrap intervals (percentile, 2000 resamples). Images are drawn, with "
    "all their instances and seeds, so they say how much a number depends on the images at hand.",
    "A failure of the method counts against it: IoU 0 from the failed click on. Instances whose "
    "data or simulated clicks failed count for nobody.",
    "Bold: the best of the complete rows whose method does not see the truth.",
)


@dataclass(frozen=True)
class Cell:
    """Plain text, and how it is set.

    dagger: published, not measured. contaminated: the method was trained on this data set; shown
    as a double dagger. notes: numbers of the table's notes. interval: "low–high", set small.
    """

    text: str
    bold: bool = False
    dagger: bool = False
    notes: tuple[int, ...] = ()
    contaminated: bool = False
    interval: str = ""

    @property
    def mark(self) -> str:
        """The raised marks before the notes' numbers."""
        return ("†" if self.dagger else "") + ("‡" if self.contaminated else "")


@dataclass(frozen=True)
class Row:
    """Cells left to right. group: a rule separates rows of different groups. measured: a measured
    row in a table of published numbers."""

    cells: list[Cell]
    group: str = ""
    italic: bool = False
    measured: bool = False


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

    @property
    def headed(self) -> bool:
        """Whether groups get a line with their name: measured rows of more than one kind."""
        return not self.published and {row.group for row in self.rows} != {UNTRAINED}

    def groups(self) -> list[tuple[str, list[Row]]]:
        """(group, its rows), in order."""
        found: list[tuple[str, list[Row]]] = []
        for row in self.rows:
            if not found or found[-1][0] != row.group:
                found.append((row.group, []))
            found[-1][1].append(row)
        return found


class Notes:
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


def measured_tables(
    frame: pd.DataFrame, metrics: Sequence[str] = SHOWN, intervals: bool = False
) -> list[Table]:
    """One table per data set and protocol of a `leaderboard` frame.

    metrics: columns of the frame to show where it has them; ["all"] for all. intervals: beside
    every number that has one. Rows are grouped by what the weights were trained on, methods without
    weights first, and keep the frame's order within a group. Raises UserError for a metric that no
    leaderboard has.
    """
    if frame.empty:
        return []
    by = ["dataset", "simulator", "clicks", "stop_at", "time_limit", "subset", "chosen"]
    groups = frame.groupby(by, sort=False, dropna=False)
    names = chosen_metrics(frame, metrics)
    return [_measured(str(key[0]), rows, names, intervals) for key, rows in groups]  # pyright: ignore


def chosen_metrics(frame: pd.DataFrame, metrics: Sequence[str]) -> list[str]:
    """Those of a leaderboard's metrics that are wanted, in the wanted order.

    Raises UserError for one that is neither in the frame nor in SHOWN.
    """
    known = metric_columns(frame)
    if "all" in metrics:
        return known
    for name in metrics:
        if name not in known and name not in SHOWN:
            raise UserError(f"no metric {name!r} here: {nearest(name, known)}")
    return [name for name in metrics if name in known]


def _measured(dataset: str, frame: pd.DataFrame, metrics: list[str], intervals: bool) -> Table:
    groups = [_group(record) for record in frame.to_dict("records")]
    frame = frame.assign(_group=groups, _trained=[group != UNTRAINED for group in groups])
    frame = frame.sort_values(["_trained", "_group"], kind="stable").reset_index(drop=True)
    shown = {name: [printed_value(name, value, frame) for value in frame[name]] for name in metrics}
    complete = frame["traces"].to_numpy() >= frame["planned"].to_numpy()
    competes = (complete & ~frame["sees_truth"].to_numpy(bool)).tolist()
    best = {name: _best(name, shown[name], competes) for name in metrics}
    notes = Notes()
    rows = []
    for index, record in enumerate(frame.to_dict("records")):
        about = notes.number(_about_method(record))
        cells = [Cell(record["method"], notes=about, contaminated=bool(record["contaminated"]))]
        for name in metrics:
            text = shown[name][index]
            interval = _interval(name, record, frame) if intervals and text != DASH else ""
            raised = notes.number(_about_seconds(record)) if name == "SPC" else ()
            bold = competes[index] and text == best[name]
            cells.append(Cell(text, bold=bold, interval=interval, notes=raised))
        cells.append(Cell(_instances(record), notes=notes.number(_about_instances(record))))
        cells.append(Cell(str(record["failures"])))
        rows.append(Row(cells, record["_group"], bool(record["sees_truth"])))
    columns = ["Method", *metrics, "Instances", "Failures"]
    remarks = _remarks(frame, shown)
    fewest = min((n for n in frame["images"] if n > 0), default=FEW_IMAGES)
    if intervals and 1 < fewest < FEW_IMAGES:
        remarks.append(f"Intervals from as few as {fewest} images: expect them to be too narrow.")
    return Table(dataset, _title(dataset, frame), columns, rows, 1, notes.texts, remarks)


def printed_value(metric: str, value: float, frame: pd.DataFrame) -> str:
    """A number of a leaderboard as tables print it: DASH for none, IoU in percent."""
    if pd.isna(value):
        return DASH
    if metric.startswith("NoF"):
        return f"{value:.0f}" if max(frame["seeds"]) <= 1 else f"{value:.1f}"
    if metric == "SPC":
        return f"{value:.4f}" if value < 0.1 else f"{value:.2f}"
    return f"{value:.2f}" if metric.startswith("NoC") else f"{100 * value:.1f}"


def _interval(metric: str, record: dict, frame: pd.DataFrame) -> str:
    ends = [record.get(metric + end, float("nan")) for end in (LOW, HIGH)]
    return (
        "" if pd.isna(ends).any() else "–".join(printed_value(metric, end, frame) for end in ends)
    )


def _group(record: dict) -> str:
    if not record["weights"]:
        return UNTRAINED
    return f"Trained on {record['trained_on'] or 'data its checkpoint does not name'}"


def _best(metric: str, shown: list[str], competes: list[bool]) -> str | None:
    """The best text of a column. Numbers that print alike are equally good."""
    texts = [t for t, full in zip(shown, competes, strict=True) if full and t != DASH]
    if not texts:
        return None
    return min(texts, key=float) if lower_is_better(metric) else max(texts, key=float)


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
    if record["opening"] != "click":
        notes.append(f"Opens with {record['opening']} in place of one click; every click counts.")
    if not record["corrections"]:
        notes.append("Predicts once, from its opening; what follows repeats that IoU.")
    return notes


def _about_seconds(record: dict) -> list[str]:
    return [f"Timed on {record['timed_on']}."] if record["timed_on"] else []


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
    unusual = _unusual(first.to_dict())
    if unusual:
        remarks.append(f"Departs from the common protocol: {'; '.join(unusual)}.")
    if any(frame["contaminated"].tolist()):
        remarks.append("‡ Trained on this data set.")
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
    if any(name.startswith("m") and _at(name) <= budget for name in undefined):
        reasons.append("the method had not predicted yet, its opening takes more clicks")
    if any(name.startswith("m") and _at(name) > budget for name in undefined):
        reasons.append(f"the budget is {budget} clicks")
    if "SPC" in undefined:
        reasons.append("not timed")
    if not all(scored):
        reasons.append("no trace counts yet")
    if reasons:
        remarks.append(f"{DASH}: not defined ({'; or '.join(reasons)}).")
    return remarks


def _unusual(row: dict) -> list[str]:
    """Where the protocol of a table is not the one most papers share."""
    found = []
    if row["simulator"] != COMMON_SIMULATOR:
        found.append(f"simulator {row['simulator']}, not {COMMON_SIMULATOR}")
    if row["clicks"] != COMMON_CLICKS:
        found.append(f"a budget of {row['clicks']} clicks, not {COMMON_CLICKS}")
    if not pd.isna(row["time_limit"]):
        found.append(f"at most {row['time_limit']:g} s per prediction")
    return found


def _at(metric: str) -> int:
    return int(metric.partition("@")[2] or 0)
