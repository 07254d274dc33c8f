"""The run directory: append-only traces that survive a crash at any time, and can be resumed."""

import io
import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UserError
from ..files import append_line, write_whole
from ..types import TRACE_KEY as KEY
from ..types import Trace
from .manifest import now
from .masks import append_masks

SCHEMA = pa.schema(
    [
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in ("method", "dataset")),
        ("simulator", pa.dictionary(pa.int32(), pa.string())),
        ("seed", pa.int64()),
        ("instance", pa.string()),
        ("click", pa.int32()),
        ("y", pa.float64()),
        ("x", pa.float64()),
        ("kind", pa.dictionary(pa.int32(), pa.string())),
        ("iou", pa.float64()),
        ("predict_seconds", pa.float64()),
        ("step_seconds", pa.float64()),
        ("status", pa.dictionary(pa.int32(), pa.string())),
    ]
)

#: One column more, the last, in runs with boundary IoU.
BOUNDARY_IOU = pa.field("boundary_iou", pa.float64())

#: Files up to this many rows are merged once there are too many of them.
_SMALL_ROWS = 50_000
_MANY_FILES = 256


class _Gone(UserError):
    """The directory that was written to is no longer there."""


class Store:
    """The only writer of a run directory's results.

    Traces are kept for at most `flush_seconds` and then written as one new file, whole, under a
    name that no other process uses, by a thread of its own: `add` does not wait for the disk,
    unless `flush_seconds` is 0. Use as a context manager: leaving it writes what is left.
    """

    def __init__(self, directory: Path, flush_seconds: float = 0.1) -> None:
        self.directory = Path(directory)
        self._traces = self.directory / "traces"
        try:
            self._traces.mkdir(parents=True, exist_ok=True)
            self._place = _place(self._traces)
        except OSError as error:
            raise UserError(f"{self._traces} cannot be made: {error.strerror or error}") from error
        self._flush_seconds = flush_seconds
        self._waiting: list[Trace] = []
        self._flushed_at = 0.0
        self._files = len(trace_files(self.directory))
        #: `_lock` guards `_waiting`, `_alarm` and `_problem`, always briefly; `_writing` lets one
        #: thread write. A thread that needs both takes `_writing` first.
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._alarm: threading.Timer | None = None
        self._problem: Exception | None = None

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        merge(self.directory)

    def add(self, trace: Trace) -> None:
        """Keep a finished trace; it is on disk within `flush_seconds`, with or without another.

        Raises UserError when this or an earlier one cannot be written.
        """
        with self._lock:
            if self._problem:
                raise self._problem
            self._refuse_if_gone()
            if trace.error is not None:
                self._log_failure(trace)
            self._waiting.append(trace)
            if self._flush_seconds > 0:
                if self._alarm is None:
                    wait = self._flushed_at + self._flush_seconds - time.monotonic()
                    self._alarm = threading.Timer(max(wait, 0), self._flush_late)
                    self._alarm.daemon = True
                    self._alarm.start()
                return
        self.flush()

    def flush(self) -> None:
        """Write what is waiting. Raises UserError when that cannot be; it is then kept."""
        with self._writing:
            with self._lock:
                if self._alarm:
                    self._alarm.cancel()
                    self._alarm = None
                traces, self._waiting = self._waiting, []
            if traces:
                try:
                    self._refuse_if_gone()
                    append_masks(self.directory, traces)
                    _write(self._traces, to_table(traces))
                except BaseException as error:
                    with self._lock:
                        self._waiting = traces + self._waiting
                    if isinstance(error, UserError) and not isinstance(error, _Gone):
                        raise UserError(self._stuck(error)) from error
                    raise
                self._files += 1
            self._flushed_at = time.monotonic()
            if self._files > _MANY_FILES:
                merge(self.directory)
                self._files = len(trace_files(self.directory))

    def _refuse_if_gone(self) -> None:
        """Raises _Gone where somebody has deleted, moved or replaced the folder of the traces."""
        try:
            if _place(self._traces) == self._place:
                return
        except OSError:
            pass
        raise _Gone(
            f"{self._traces} has been deleted, moved or replaced while the run was writing there; "
            "the run ends, and what was not written is lost. Put it back, or start again with "
            "another --out"
        )

    def _flush_late(self) -> None:
        """Write when it is time; a problem waits for the next `add`."""
        try:
            self.flush()
        except Exception as error:
            self._problem = error

    def _log_failure(self, trace: Trace) -> None:
        record = dict(zip(KEY, trace.key, strict=True))
        record |= {"click": len(trace.steps), "status": trace.status}
        record |= {"error": trace.error, "time": now(), "traceback": trace.traceback}
        try:
            # Escapes keep a line one line for readers that end lines at U+2028 or U+0085.
            append_line(self.directory / "failures.jsonl", json.dumps(record))
        except UserError as error:
            raise UserError(self._stuck(error)) from error

    def _stuck(self, problem: UserError) -> str:
        return (
            f"{problem}. What was written before stays in {self.directory}; when the problem is "
            "gone, the same command goes on where this one stopped"
        )


def _place(folder: Path) -> tuple[int, int]:
    """What a folder is on disk, whatever stands at its path later."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def to_table(traces: Iterable[Trace]) -> pa.Table:
    """Traces as rows, one a click; a trace without clicks gets one row with click 0.

    The status of a failure is in the last row of its trace; the rows before it are "ok". A
    column `boundary_iou` comes last where any step has one.
    """
    traces = list(traces)
    with_boundary = any(s.boundary_iou is not None for trace in traces for s in trace.steps)
    schema = SCHEMA.append(BOUNDARY_IOU) if with_boundary else SCHEMA
    columns: dict[str, list] = {name: [] for name in schema.names}
    for trace in traces:
        rows = list(_rows(trace))
        for number, (*values, boundary) in enumerate(rows, start=1):
            status = trace.status if number == len(rows) else "ok"
            # Without that column the last value has nowhere to go, and is None.
            row = (*trace.key, *values, status, boundary)
            for name, value in zip(schema.names, row, strict=False):
                columns[name].append(value)
    return pa.table(columns, schema=schema)


def _rows(trace: Trace) -> Iterator[tuple]:
    if not trace.steps:
        yield (0, *[None] * 7)
    for number, step in enumerate(trace.steps, start=1):
        click = step.click
        timing = (step.predict_seconds, step.step_seconds)
        point = (float(click.y), float(click.x), click.kind)
        yield (number, *point, step.iou, *timing, step.boundary_iou)


def trace_files(directory: Path) -> list[Path]:
    """The finished trace files of a run, oldest first."""
    return sorted(Path(directory).joinpath("traces").glob("[0-9]*.parquet"))


def read_traces(directory: Path, categorical: bool = False) -> pd.DataFrame:
    """All traces of a run, one row a click, each instance's once.

    Columns: those of SCHEMA (str, int64, float64 with NaN for null), and `boundary_iou` where the
    run has it. Sorted by method, data set, simulator, seed and instance, then click. categorical:
    leave the columns of text as pandas categories, which is several times faster. Raises UserError
    naming a file that is not readable.
    """
    return to_frame(_read_all(directory), categorical)


def _read_all(directory: Path, columns: list[str] | None = None) -> pa.Table:
    """All traces of a run, which may be writing and merging its files meanwhile."""
    while True:
        files = trace_files(directory)
        # A listing taken during a merge can lack both the merged file and those that it replaces.
        if files != trace_files(directory):
            continue
        try:
            return _read(files, columns)
        except FileNotFoundError as error:
            if files == trace_files(directory):
                raise UserError(_unreadable(Path(error.filename or directory), error)) from error


def to_frame(table: pa.Table, categorical: bool = False) -> pd.DataFrame:
    """A table of traces as a sorted data frame; text is plain strings unless `categorical`."""
    frame = _encoded(table).to_pandas()
    text = [name for name in frame if isinstance(frame[name].dtype, pd.CategoricalDtype)]
    for name in text:
        categories = frame[name].cat.categories
        frame[name] = frame[name].cat.reorder_categories(sorted(categories))
    order = _combined([_codes(frame[name]) for name in [*KEY, "click"]])
    frame = frame.take(np.argsort(order, kind="stable")).reset_index(drop=True)
    return frame if categorical else frame.astype(dict.fromkeys(text, "str"))


def _encoded(table: pa.Table) -> pa.Table:
    """The table with every column of text as a dictionary, one for the whole column."""
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index).dictionary_encode()
            table = table.set_column(index, field.name, column)
    return table.unify_dictionaries().combine_chunks()


def _codes(column: pd.Series) -> np.ndarray:
    """(N,) int64 that sorts as the column does."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(np.int64) + 1
    values = column.to_numpy(np.int64)
    low, high = values.min(initial=0), values.max(initial=0)
    return values - low if high - low < 2**31 else np.unique(values, return_inverse=True)[1]


def _combined(columns: list[np.ndarray]) -> np.ndarray:
    """(N,) int64 that sorts as the columns do, the first one leading."""
    combined = np.zeros(len(columns[0]), np.int64)
    size = 1
    for codes in columns:
        count = int(codes.max(initial=0)) + 1
        if size * count >= 2**62:
            combined = np.unique(combined, return_inverse=True)[1]
            size = int(combined.max(initial=0)) + 1
        combined = combined * count + codes
        size *= count
    return combined


def finished(directory: Path, retry_failures: bool = False) -> set[tuple]:
    """The keys (method, data set, simulator, seed, instance) of the traces a run has.

    retry_failures: leave out those that failed, so that they are computed again.
    """
    frame = _read_all(directory, [*KEY, "status"]).to_pandas()
    keys = set(frame[list(KEY)].itertuples(index=False, name=None))
    if retry_failures:
        failed = frame[frame["status"] != "ok"]
        keys -= set(failed[list(KEY)].itertuples(index=False, name=None))
    return keys


def merge(directory: Path) -> None:
    """Write the small trace files of a run as one, where there is room for that.

    A crash in between leaves both; their traces are read once.
    """
    small = [path for path in trace_files(directory) if _rows_in(path) <= _SMALL_ROWS]
    if len(small) > 1:
        table = _read(small)
        try:
            _write(Path(directory) / "traces", table)
        except UserError:
            # Nothing is lost, and the next `add` that cannot write raises the error.
            return
        for path in small:
            path.unlink()


def remove_traces(directory: Path, methods: Sequence[str]) -> None:
    """Remove the traces of some methods; a crash in between removes none or some of them."""
    files = trace_files(directory)
    if files:
        table = _read(files)
        left = ~table["method"].to_pandas().isin(list(methods)).to_numpy()
        _write(Path(directory) / "traces", table.filter(pa.array(left)))
        for path in files:
            path.unlink()


def _rows_in(path: Path) -> int:
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(_unreadable(path, error)) from error


def _read(paths: list[Path], columns: list[str] | None = None) -> pa.Table:
    """Trace files as one table with each trace once.

    Raises FileNotFoundError for a file that is gone, because it was merged into another, and
    UserError for a file that is not readable.
    """
    tables = []
    for path in paths:
        try:
            tables.append(_read_one(path, columns))
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, "no such file", str(path)) from error
        except (OSError, pa.ArrowInvalid, ValueError, KeyError) as error:
            raise UserError(_unreadable(path, error)) from error
    if not tables:
        return (SCHEMA if columns is None else _part(columns)).empty_table()
    return _once(tables)


def _read_one(path: Path, columns: list[str] | None) -> pa.Table:
    # Instances' names are repeated; as a dictionary each is read once.
    table = pq.read_table(path, columns=columns, read_dictionary=["instance"])
    wanted = SCHEMA if columns is None else _part(columns)
    if columns is None and BOUNDARY_IOU.name in table.column_names:
        wanted = wanted.append(BOUNDARY_IOU)
    for name in wanted.names:
        if name in (*KEY, "click", "status") and table[name].null_count:
            raise ValueError(f"the column {name} has rows without a value")
    names = pa.field("instance", pa.dictionary(pa.int32(), pa.string()))
    return table.cast(wanted.set(wanted.get_field_index("instance"), names))


def _part(columns: list[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in columns])


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} is not a readable trace file ({error}); delete it to compute its traces again"


def _once(tables: list[pa.Table]) -> pa.Table:
    """Concatenate; of a trace in several tables keep one, an ok one if there is one.

    A trace is in two files after a crash while merging (equal rows), or when a failure has been
    tried again.
    """
    # A file all of whose traces failed early has no boundary IoU: there it is null.
    table = pa.concat_tables(tables, promote_options="default")
    table = table.unify_dictionaries().combine_chunks()
    if len(tables) == 1:
        return table
    rows = table.select([*KEY, "status"]).to_pandas()
    part = np.repeat(np.arange(len(tables)), [len(one) for one in tables])
    piece = _combined([*(_codes(rows[name]) for name in KEY), part])
    pieces, first = np.unique(piece, return_index=True)
    trace = _combined([_codes(rows[name].iloc[first]) for name in KEY])
    if len(np.unique(trace)) == len(pieces):
        return table
    failed = np.isin(pieces, piece[(rows["status"] != "ok").to_numpy()])
    order = np.lexsort((-part[first], failed, trace))
    chosen = order[np.unique(trace[order], return_index=True)[1]]
    return table.filter(pa.array(np.isin(piece, pieces[chosen])))


def _write(folder: Path, table: pa.Table) -> None:
    """One new trace file, under a name that sorts by time and that no other process uses."""
    buffer = io.BytesIO()
    plain = SCHEMA.append(BOUNDARY_IOU) if BOUNDARY_IOU.name in table.column_names else SCHEMA
    pq.write_table(table.cast(plain), buffer)
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.parquet"
    write_whole(folder / name, buffer.getvalue())
