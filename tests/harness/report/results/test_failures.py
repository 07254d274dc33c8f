"""What went wrong, as a table and from the file that keeps the messages."""

import json
from pathlib import Path

import pandas as pd

from isegbench.harness.report.results.failures import FAILURES, failures_of, read_messages
from isegbench.harness.store.traces import to_frame, to_table
from isegbench.harness.types import Click, Step, Trace


def trace(instance: str, steps: int, status, error: str | None) -> Trace:
    clicks = tuple(Step(Click(1, 2, "positive"), 0.5) for _ in range(steps))
    return Trace("m", "d", "s", 0, instance, clicks, status, error)


def test_a_row_for_each_failure():
    traces = [
        trace("a", 3, "ok", None),
        trace("b", 2, "method-failed", "NaN in 3 pixels"),
        trace("c", 0, "data-failed", "no such file"),
    ]
    for categorical in (False, True):
        frame = to_frame(to_table(traces), categorical)
        found = failures_of(frame, {traces[1].key: "NaN in 3 pixels"}, {})
        assert tuple(found) == FAILURES
        rows = found[["instance", "click", "status", "message"]].to_numpy().tolist()
        assert rows == [["b", 2, "method-failed", "NaN in 3 pixels"], ["c", 0, "data-failed", ""]]
        assert not failures_of(pd.DataFrame(frame[frame["instance"] == "a"]), {}, {}).size
        assert pd.api.types.is_string_dtype(found["message"])


def test_messages_are_read_as_far_as_they_can_be(tmp_path: Path):
    record = {"method": "m", "dataset": "d", "simulator": "s", "seed": 0, "instance": "i"}
    lines = [json.dumps(record | {"error": "first"}), "[]", json.dumps(record | {"error": "last"})]
    (tmp_path / "failures.jsonl").write_text("\n".join([*lines, '{"method": "m', ""]))
    assert read_messages(tmp_path) == {("m", "d", "s", 0, "i"): "last"}
    assert read_messages(tmp_path, most=1) == {}
    assert read_messages(tmp_path / "missing") == {}
