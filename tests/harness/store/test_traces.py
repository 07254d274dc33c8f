import json
import threading
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.errors import UserError
from isegbench.harness.store import traces as store_module
from isegbench.harness.store.traces import (
    KEY,
    SCHEMA,
    Store,
    finished,
    merge,
    read_traces,
    remove_traces,
    to_frame,
    to_table,
    trace_files,
)
from isegbench.harness.types import Click, Status, Step, Trace


def trace(instance="a", ious=(0.25, 0.5), seed=0, status: Status = "ok", error=None) -> Trace:
    steps = tuple(
        Step(Click(n, n + 0.5, "positive"), iou, None if iou is None else 0.1, 0.2)
        for n, iou in enumerate(ious)
    )
    return Trace("m:k=1", "d", "s", seed, instance, steps, status, error)


def write(directory, *traces, flush_seconds=0.0):
    with Store(directory, flush_seconds) as store:
        for one in traces:
            store.add(one)


def test_columns_are_the_fixed_ones(tmp_path):
    write(tmp_path, trace(ious=(None, 0.5)))
    frame = read_traces(tmp_path)
    assert frame.columns.tolist() == [
        "method",
        "dataset",
        "simulator",
        "seed",
        "instance",
        "click",
        "y",
        "x",
        "kind",
        "iou",
        "predict_seconds",
        "step_seconds",
        "status",
    ]
    assert frame.click.tolist() == [1, 2]
    assert np.isnan(frame.iou[0])
    assert frame.iou.dtype == np.float64
    plain = pd.read_parquet(tmp_path / "traces")
    assert set(plain.columns) == set(frame.columns)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.floats(0, 1) | st.none(), min_size=1, max_size=4),
        ),
        unique_by=lambda pair: pair[0],
        max_size=4,
    ),
    st.sampled_from([0.0, 1e9]),
)
def test_what_goes_in_comes_out(tmp_path_factory, contents, flush_seconds):
    directory = tmp_path_factory.mktemp("run")
    write(
        directory,
        *(trace(f"i{name}", ious) for name, ious in contents),
        flush_seconds=flush_seconds,
    )
    frame = read_traces(directory)
    for name, ious in contents:
        got = frame[frame.instance == f"i{name}"].iou.tolist()
        assert got == pytest.approx([np.nan if iou is None else iou for iou in ious], nan_ok=True)
    assert len(frame) == sum(len(ious) for _, ious in contents)
    assert finished(directory) == {("m:k=1", "d", "s", 0, f"i{name}") for name, _ in contents}


def test_boundary_iou_is_a_last_column_and_null_where_there_is_none(tmp_path):
    scored = Trace("m", "d", "s", 0, "b", (Step(Click(1, 2, "positive"), 0.5, 0.1, 0.2, 0.25),))
    failed = trace("a", (None,), status="method-failed", error="oops")
    write(tmp_path, failed)
    assert "boundary_iou" not in read_traces(tmp_path)
    write(tmp_path, scored)
    write(tmp_path, trace("c", (None,), status="method-failed", error="oops"))
    for _ in range(2):
        frame = read_traces(tmp_path)
        assert frame.columns.tolist() == [*SCHEMA.names, "boundary_iou"]
        values = frame.set_index("instance").boundary_iou
        assert values.b == 0.25
        assert values[["a", "c"]].isna().all()
        merge(tmp_path)
    assert finished(tmp_path) == {scored.key, failed.key, trace("c").key}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_traces_are_sorted_and_text_is_text(data):
    names = st.sampled_from(["b", "a", "Z", "10", "9", "ä", ""])
    keys = data.draw(st.lists(st.tuples(names, names, st.integers(-2, 3), names), unique=True))
    traces = [
        Trace(method, dataset, "s", seed, instance, (Step(Click(0, 0, "corner")),) * clicks)
        for clicks, (method, dataset, seed, instance) in enumerate(keys)
    ]
    table = to_table(traces)
    expected = sorted(zip(*(table[name].to_pylist() for name in (*KEY, "click")), strict=True))
    for categorical in (False, True):
        frame = to_frame(table, categorical)
        found = zip(*(frame[name].tolist() for name in (*KEY, "click")), strict=True)
        assert list(found) == expected
    plain = to_frame(table)
    assert not any(isinstance(kind, pd.CategoricalDtype) for kind in plain.dtypes)


def test_combined_codes_sort_like_tuples_even_where_they_do_not_fit():
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 2**31, 200) // 10**k * 10**k for k in (9, 8, 0)]
    combined = store_module._combined(columns)
    np.testing.assert_array_equal(
        np.argsort(combined, kind="stable"), np.lexsort(tuple(reversed(columns)))
    )


def test_a_trace_without_clicks_is_a_row_with_click_0(tmp_path):
    write(tmp_path, trace(ious=(), status="data-failed", error="no mask"))
    frame = read_traces(tmp_path)
    assert frame[["click", "status"]].values.tolist() == [[0, "data-failed"]]
    record = json.loads((tmp_path / "failures.jsonl").read_text())
    assert (record["instance"], record["status"], record["error"]) == (
        "a",
        "data-failed",
        "no mask",
    )


def test_a_trace_is_on_disk_before_the_store_is_closed(tmp_path):
    store = Store(tmp_path, flush_seconds=0.0)
    store.add(trace("a"))
    assert finished(tmp_path) == {trace("a").key}


def test_a_trace_reaches_the_disk_though_no_other_follows(tmp_path):
    store = Store(tmp_path, flush_seconds=0.1)
    store.add(trace("first"))
    store.add(trace("second"))
    deadline = time.monotonic() + 20
    while len(finished(tmp_path)) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert finished(tmp_path) == {trace("first").key, trace("second").key}


def test_who_adds_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    free = threading.Event()
    write_whole = store_module.write_whole

    def slow(path, content):
        assert free.wait(20)
        write_whole(path, content)

    monkeypatch.setattr(store_module, "write_whole", slow)
    with Store(tmp_path, flush_seconds=0.01) as store:
        for number in range(5):
            store.add(trace(f"i{number}"))
            time.sleep(0.02)
        assert finished(tmp_path) == set()
        free.set()
    assert finished(tmp_path) == {trace(f"i{number}").key for number in range(5)}


def test_a_full_disk_is_told_at_the_next_trace_and_costs_nothing_there(tmp_path, monkeypatch):
    store = Store(tmp_path, flush_seconds=0.1)
    store.add(trace("first"))
    store.flush()

    def full(path, content):
        raise UserError(f"{path} cannot be written: No space left on device")

    monkeypatch.setattr(store_module, "write_whole", full)
    store.add(trace("second"))
    with pytest.raises(UserError, match="No space left"):  # noqa: PT012
        for number in range(200):
            time.sleep(0.02)
            store.add(trace(f"later{number}"))
    assert finished(tmp_path) == {trace("first").key}


def test_half_written_files_are_never_read(tmp_path):
    write(tmp_path, trace("a"))
    (tmp_path / "traces" / ".0123.parquet.tmp").write_bytes(b"half")
    assert len(read_traces(tmp_path)) == 2


def test_a_death_while_merging_doubles_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "merge", lambda directory: None)
    write(tmp_path, trace("a"), trace("b", (0.1,)), trace("a", (0.3,), seed=1))
    before = read_traces(tmp_path)
    parts = {path: path.read_bytes() for path in trace_files(tmp_path)}
    assert len(parts) == 3
    merge(tmp_path)
    assert len(trace_files(tmp_path)) == 1
    pd.testing.assert_frame_equal(read_traces(tmp_path), before)
    for path, data in list(parts.items())[:2]:
        path.write_bytes(data)
    pd.testing.assert_frame_equal(read_traces(tmp_path), before)
    merge(tmp_path)
    pd.testing.assert_frame_equal(read_traces(tmp_path), before)
    assert pq.read_metadata(trace_files(tmp_path)[0]).num_rows == len(before)


def test_a_failure_tried_again_is_replaced_by_the_newer_trace(tmp_path):
    failed = trace("a", (0.1, None), status="method-failed", error="oops")
    write(tmp_path, failed, trace("b"))
    assert finished(tmp_path, retry_failures=True) == {trace("b").key}
    write(tmp_path, trace("a", (0.7, 0.8, 0.9)))
    frame = read_traces(tmp_path)
    assert frame[frame.instance == "a"].iou.tolist() == [0.7, 0.8, 0.9]
    assert (frame.status == "ok").all()


def test_many_small_files_become_few(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "_MANY_FILES", 10)
    store = Store(tmp_path, flush_seconds=0.0)
    for number in range(35):
        store.add(trace(f"i{number}"))
        assert len(trace_files(tmp_path)) <= 11
    assert len(finished(tmp_path)) == 35


def test_a_damaged_file_is_named(tmp_path):
    write(tmp_path, trace("a"))
    (path,) = trace_files(tmp_path)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match=f"{path.name} is not a readable trace file"):
        read_traces(tmp_path)


def test_an_empty_run_reads_as_an_empty_frame(tmp_path):
    frame = read_traces(tmp_path)
    assert frame.empty
    assert frame.columns.tolist() == SCHEMA.names


def test_rows_without_a_name_are_refused(tmp_path):
    write(tmp_path, trace())
    (path,) = trace_files(tmp_path)
    for column in ("method", "instance", "seed", "status"):
        table = pq.read_table(path)
        at = table.schema.get_field_index(column)
        empty = pa.nulls(len(table), SCHEMA.field(column).type)
        other = path.with_name("1.parquet")
        pq.write_table(table.set_column(at, SCHEMA.field(column), empty), other)
        for read in (read_traces, finished):
            with pytest.raises(UserError, match=f"1.parquet is not a readable.*column {column}"):
                read(tmp_path)
        other.unlink()


def test_a_run_is_read_while_it_merges_its_files(tmp_path, monkeypatch):
    for name in "abc":
        with Store(tmp_path, 0) as store:
            store.add(trace(name))
            monkeypatch.setattr(store_module, "_MANY_FILES", 99)
            monkeypatch.setattr(store_module, "merge", lambda directory: None)
    monkeypatch.undo()
    assert len(trace_files(tmp_path)) == 3
    read_one, files = store_module._read_one, []

    def merged_meanwhile(path, columns):
        files.append(path)
        if len(files) == 2:
            merge(tmp_path)
        return read_one(path, columns)

    monkeypatch.setattr(store_module, "_read_one", merged_meanwhile)
    assert sorted(set(read_traces(tmp_path).instance)) == ["a", "b", "c"]


def test_a_link_to_nothing_is_not_waited_for(tmp_path):
    write(tmp_path, trace())
    (tmp_path / "traces" / "9.parquet").symlink_to(tmp_path / "nothing")
    with pytest.raises(UserError, match="9.parquet is not a readable trace file"):
        read_traces(tmp_path)


def test_a_store_whose_directory_is_gone_stops(tmp_path):
    store = Store(tmp_path / "run", 0)
    store.add(trace("a"))
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.raises(UserError, match="has been deleted"):
        store.add(trace("b"))
    assert not (tmp_path / "run").exists()
    assert set(read_traces(tmp_path / "moved").instance) == {"a"}


def test_a_death_while_removing_loses_no_other_trace(tmp_path, monkeypatch):
    write(tmp_path, trace("a"), trace("b"))
    write(tmp_path, Trace("other", "d", "s", 0, "a", trace().steps, "ok", None))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.unlink", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            remove_traces(tmp_path, ["m:k=1"])
    assert len(finished(tmp_path)) == 3
    remove_traces(tmp_path, ["m:k=1"])
    assert {key[0] for key in finished(tmp_path)} == {"other"}
