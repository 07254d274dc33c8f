"""The timing pass: the run's own clicks, one user at a time, begin and predict and nothing else."""

import doctest
import time

import numpy as np
import pytest

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method
from isegbench.harness.store import timing
from isegbench.harness.store.timing import TIMING, read_timing, seconds_per_click
from isegbench.harness.store.traces import read_traces
from isegbench.harness.workflows.time_methods import time_run

SLOW = """
import time
import numpy as np
from isegbench.harness.method import Method

class Slow(Method):
    opening = "inside-outside"

    def begin(self, session):
        time.sleep(0.06)

    def predict(self, sessions):
        assert len(sessions) == 1
        time.sleep(0.02)
        return [np.ones(session.shape, np.float32) for session in sessions]
"""


@pytest.fixture
def run(tmp_path):
    """Three clicks of opening and two corrections on three photographs."""
    (tmp_path / "slow.py").write_text(SLOW)
    out = tmp_path / "run"
    isegbench.run([f"{tmp_path / 'slow.py'}:Slow", "empty"], "samples", limit=4, clicks=5, out=out)
    return out


def test_docstring_examples_run():
    result = doctest.testmod(timing)
    assert (result.failed, result.attempted) == (0, 1)


def test_seconds_are_those_of_begin_and_predict(run):
    seen = []
    frame = time_run(
        run, ["slow.py:Slow"], instances=2, on_instance=lambda *what: seen.append(what)
    )
    assert frame.columns.tolist() == list(TIMING)
    assert frame["click"].tolist() == [1, 2, 3, 4, 5] * 2
    traces = read_traces(run)
    names = traces["instance"].tolist()
    assert set(frame["instance"]) == {min(names), max(names)}
    assert [what[2] for what in seen] == frame["instance"].unique().tolist()
    seconds = frame["seconds"].to_numpy().reshape(2, 5)
    assert np.isnan(seconds[:, :2]).all()
    # A sleep takes at least what it says, and on a busy machine rather more.
    assert (seconds[:, 2] >= 0.08).all()
    assert (seconds[:, 3:] >= 0.02).all()
    assert seconds_per_click(frame) == pytest.approx(np.nansum(seconds) / 10)
    assert np.nanmin(seconds) < 0.06, "later clicks do not look at the image again"


def test_measuring_again_replaces_and_adds(run):
    first = time_run(run, ["empty"], instances=1, warm_up=0)
    both = time_run(run, ["slow.py:Slow"], instances=1, warm_up=0)
    assert set(both["method"]) == {"empty", "slow.py:Slow"}
    again = time_run(run, ["empty"], instances=2)
    assert len(again[again["method"] == "empty"]) == 2 * len(first)
    assert len(again[again["method"] == "slow.py:Slow"]) == 5
    assert read_timing(run).equals(again)
    assert isegbench.load_run(run).leaderboard()["SPC"].notna().to_numpy().all()


def test_the_warm_up_does_not_count(run, monkeypatch):
    class Cold(Method):
        calls = 0

        def predict_one(self, session):
            Cold.calls += 1
            time.sleep(1 if Cold.calls == 1 else 0)
            return np.zeros(session.shape, np.float32)

    plan = type("Plan", (), {"built": Cold()})
    monkeypatch.setattr("isegbench.harness.workflows.time_methods.plan_method", lambda spec: plan)
    frame = time_run(run, ["empty"], instances=2)
    assert Cold.calls == len(frame) + len(frame) // 2
    assert frame["seconds"].to_numpy().max() < 1


def test_what_cannot_be_timed_says_why(run, tmp_path):
    with pytest.raises(UserError, match="no method 'empy': did you mean 'empty'"):
        time_run(run, ["empy"])
    with pytest.raises(UserError, match="no dataset 'davis'"):
        time_run(run, datasets=["davis"])
    with pytest.raises(UserError, match="at least 1"):
        time_run(run, instances=0)
    assert not (run / "timing.parquet").exists()
    (run / "timing.parquet").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="is not a timing pass"):
        read_timing(run)
