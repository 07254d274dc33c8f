"""The run directory: append-only traces that survive any kind of death, and can be resumed."""

import io
import json
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from .errors import UserError
from .files import write_whole
from .manifest import now
from .types import TRACE_KEY as KEY
from .types import Trace

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

#: Files up to this many rows are merged once there are too many of them.
_SMALL_ROWS = 50_000
_MANY_FILES = 256


class Store:
    """The only writer of a run directory's results.

    Traces are kept for at most `flush_seconds` and then written as one new file, whole, under a
    name nobody else can have. Use as a context manager: leaving it writes what is left.
    """

    def __init__(self, directory: Path, flush_seconds: float = 0.5) -> None:
        self.directory = Path(directory)
        self._traces = self.directory / "traces"
        self._traces.mkdir(parents=True, exist_ok=True)
        self._flush_seconds = flush_seconds
        self._waiting: list[Trace] = []
        self._flushed_at = 0.0
        self._files = len(trace_files(self.directory))

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        merge(self.directory)

    def add(self, trace: Trace) -> None:
        """Keep a finished trace; on disk within `flush_seconds` of the next one at the latest."""
        self._waiting.append(trace)
        if trace.error is not None:
            self._log_failure(trace)
        if time.monotonic() - self._flushed_at >= self._flush_seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            _write(self._traces, to_table(self._waiting))
            self._waiting.clear()
            self._files += 1
        self._flushed_at = time.monotonic()
        if self._files > _MANY_FILES:
            merge(self.directory)
            self._files = len(trace_files(self.directory))

    def _log_failure(self, trace: Trace) -> None:
        record = dict(zip(KEY, trace.key, strict=True))
        record |= {"click": len(trace.steps), "status": trace.status}
        record |= {"error": trace.error, "time": now()}
        with open(self.directory / "failures.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")


def to_table(traces: Iterable[Trace]) -> pa.Table:
    """Traces as rows, one a click; a trace without clicks gets one row with click 0.

    The status of a failure stands in the last row of its trace; the rows before it are "ok".
    """
    columns: dict[str, list] = {name: [] for name in SCHEMA.names}
    for trace in traces:
        rows = list(_rows(trace))
        for values in rows[:-1]:
            _append(columns, trace, values, "ok")
        _append(columns, trace, rows[-1], trace.status)
    return pa.table(columns, schema=SCHEMA)


def _rows(trace: Trace) -> Iterator[tuple]:
    if not trace.steps:
        yield (0, None, None, None, None, None, None)
    for number, step in enumerate(trace.steps, start=1):
        click = step.click
        timing = (step.predict_seconds, step.step_seconds)
        yield (number, float(click.y), float(click.x), click.kind, step.iou, *timing)


def _append(columns: dict[str, list], trace: Trace, values: tuple, status: str) -> None:
    for name, value in zip(SCHEMA.names, (*trace.key, *values, status), strict=True):
        columns[name].append(value)


def trace_files(directory: Path) -> list[Path]:
    """The finished trace files of a run, oldest first."""
    return sorted(Path(directory).joinpath("traces").glob("[0-9]*.parquet"))


def read_traces(directory: Path) -> pd.DataFrame:
    """All traces of a run, one row a click, each instance's once.

    Columns: those of SCHEMA (str, int64, float64 with NaN for null). Sorted by method, data set,
    simulator, seed and instance, then click. Raises UserError naming a file that is not readable.
    """
    return to_frame(_read(trace_files(directory)))


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A table of traces as a sorted data frame with plain strings."""
    plain = pa.schema(
        pa.field(field.name, pa.string()) if pa.types.is_dictionary(field.type) else field
        for field in SCHEMA
    )
    frame = table.cast(plain).to_pandas()
    return frame.sort_values([*KEY, "click"], kind="stable", ignore_index=True)


def finished(directory: Path, retry_failures: bool = False) -> set[tuple]:
    """The keys (method, data set, simulator, seed, instance) of the traces a run has.

    retry_failures: leave out those that failed, so that they are computed again.
    """
    table = _read(trace_files(directory), [*KEY, "status"])
    frame = table.to_pandas()
    keys = set(frame[list(KEY)].itertuples(index=False, name=None))
    if retry_failures:
        failed = frame[frame["status"] != "ok"]
        keys -= set(failed[list(KEY)].itertuples(index=False, name=None))
    return keys


def merge(directory: Path) -> None:
    """Write the small trace files of a run as one. A death in between leaves both, read once."""
    small = [path for path in trace_files(directory) if _rows_in(path) <= _SMALL_ROWS]
    if len(small) > 1:
        _write(Path(directory) / "traces", _read(small))
        for path in small:
            path.unlink()


def _rows_in(path: Path) -> int:
    try:
        return pq.read_metadata(path).num_rows
    except (OSError, pa.ArrowInvalid) as error:
        raise UserError(_unreadable(path, error)) from error


def _read(paths: list[Path], columns: list[str] | None = None) -> pa.Table:
    """Trace files as one table, in which no trace stands twice."""
    tables = []
    wanted = SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])
    for path in paths:
        try:
            tables.append(pq.read_table(path, columns=columns).cast(wanted))
        except (OSError, pa.ArrowInvalid, ValueError, KeyError) as error:
            raise UserError(_unreadable(path, error)) from error
    if not tables:
        return wanted.empty_table()
    return _once(tables)


def _unreadable(path: Path, error: Exception) -> str:
    return f"{path} is not a readable trace file ({error}); delete it to compute its traces again"


def _once(tables: list[pa.Table]) -> pa.Table:
    """Concatenate; of a trace that stands in several tables keep one, rather one that is ok.

    A trace is in two files after a death while merging (equal rows), or when a failure has been
    tried again.
    """
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    if len(tables) == 1:
        return table
    rows = table.select([*KEY, "status"]).to_pandas()
    rows["part"] = np.repeat(np.arange(len(tables)), [part.num_rows for part in tables])
    parts = rows[[*KEY, "part"]].drop_duplicates()
    if not parts.duplicated(list(KEY)).any():
        return table
    failed = rows.loc[rows["status"] != "ok", [*KEY, "part"]].assign(failed=True)
    parts = parts.merge(failed, "left", [*KEY, "part"]).fillna({"failed": False})
    parts = parts.sort_values(["failed", "part"], ascending=[True, False])
    kept = parts.drop_duplicates(list(KEY))[[*KEY, "part"]].assign(kept=True)
    chosen = rows.merge(kept, "left", [*KEY, "part"])["kept"].notna()
    return table.filter(pa.array(chosen))


def _write(folder: Path, table: pa.Table) -> None:
    """One new trace file, under a name that sorts by time and that nobody else can have."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex[:12]}.parquet"
    write_whole(folder / name, buffer.getvalue())
