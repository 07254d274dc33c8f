"""A dry run: the plan and the estimated time are right, and nothing is written."""

import time
from types import SimpleNamespace
from typing import ClassVar, cast

import numpy as np
import pytest

import isegbench
from isegbench.harness.cli.dry_run import duration
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.plan import MethodPlan
from isegbench.harness.types import Click, Step, Trace
from isegbench.harness.workflows import forecast as forecasting
from isegbench.harness.workflows.forecast import Forecast, Part, forecast, seconds_each


class Sleeper(Method):
    """Takes longer at the first click, as one that looks at the image does."""

    opening = "inside-outside"

    def predict_one(self, session):
        time.sleep(0.03 if len(session.clicks) == 3 else 0.01)
        return np.ones(session.shape, np.float32)


class Once(Method):
    corrections = False

    def predict_one(self, session):
        return np.zeros(session.shape, np.float32)


def plan_of(tmp_path, discs, **options):
    values = {"methods": [Sleeper, Once], "datasets": [discs(12)], "clicks": 8, "seeds": 2}
    return make_config(values | {"out": tmp_path / "run"} | options)


def test_the_plan_is_counted_and_nothing_is_written(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs), probe=3)
    sleeper, once = found.parts
    assert (sleeper.planned, sleeper.finished, sleeper.left) == (24, 0, 24)
    # Three clicks open, five correct: six predictions. The other predicts once.
    assert (sleeper.predictions, once.predictions) == (24 * 6, 24)
    assert len(sleeper.seconds) == len(once.seconds) == 3
    # 0.03 s once and 0.01 s five times.
    assert 0.07 < np.mean(sleeper.seconds) < 0.5
    assert [part.workers for part in found.parts] == [1, 1]
    assert list(tmp_path.iterdir()) == []


def test_finished_traces_are_left_out(tmp_path, discs):
    isegbench.run([Once], [discs(12)], clicks=8, seeds=2, limit=7, out=tmp_path / "run")
    before = sorted(
        (path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*") if path.is_file()
    )
    found = forecast(plan_of(tmp_path, discs), probe=1)
    assert [(part.finished, part.left) for part in found.parts] == [(0, 24), (14, 10)]
    assert before == sorted(
        (path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*") if path.is_file()
    )


def test_everything_finished_needs_no_time(tmp_path, discs):
    isegbench.run([Once], [discs(3)], clicks=8, out=tmp_path / "run")
    found = forecast(
        make_config({"methods": Once, "datasets": discs(3), "clicks": 8, "out": tmp_path / "run"})
    )
    assert found.seconds() == found.seconds(2) == 0
    assert found.parts[0].predictions == 0


def test_a_directory_that_could_not_be_resumed_is_refused(tmp_path, discs):
    isegbench.run([Once], [discs(3)], clicks=4, out=tmp_path / "run")
    with pytest.raises(UserError, match="clicks: 4 in the run, now 8"):
        forecast(plan_of(tmp_path, discs))


class Broken(Method):
    def predict_one(self, session):
        raise RuntimeError("no weights in here")


def test_failures_of_the_probe_are_listed(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs, methods=[Broken, Once]), probe=2)
    assert found.seconds() is None
    assert len(found.parts[0].failures) == 2
    assert "method-failed: RuntimeError: no weights in here" in found.parts[0].failures[0]


def test_without_a_probe_nothing_is_computed(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs, methods=[Broken]), probe=0)
    assert not found.parts[0].failures
    assert found.seconds() is None


def test_a_slow_probe_stops_after_one_of_each(tmp_path, discs, monkeypatch):
    monkeypatch.setattr(forecasting, "PROBE_SECONDS", 0.0)
    found = forecast(plan_of(tmp_path, discs), probe=6)
    assert [len(part.seconds) for part in found.parts] == [1, 1]
    assert found.seconds(2) is None


def test_ctrl_c_ends_the_probe_and_keeps_the_plan(tmp_path, discs):
    def interrupt(done, of):
        if done == 3:
            raise KeyboardInterrupt

    found = forecast(plan_of(tmp_path, discs), 4, interrupt)
    assert found.interrupted
    assert sum(len(part.seconds) for part in found.parts) == 3


class Recorder(Method):
    """Keeps the seeds of its sessions, in order."""

    seen: ClassVar[list[int]] = []

    def begin(self, session):
        self.seen.append(session.seed)

    def predict_one(self, session):
        return np.zeros(session.shape, np.float32)


def test_the_probe_is_evenly_spread_over_the_data_set(discs):
    dataset = discs(9)
    names = [ref.name for ref in dataset.instances()]
    Recorder.seen.clear()
    forecast(make_config({"methods": Recorder, "datasets": dataset, "clicks": 2}), probe=3)
    expected = [method_seed(0, dataset.name, names[n]) for n in (0, 4, 8)]
    assert Recorder.seen == expected


def test_the_start_of_a_process_is_not_counted_for_every_instance():
    def played(*seconds):
        steps = tuple(Step(Click(0, 0, "positive"), 0.5, s, s) for s in seconds)
        return Trace("m", "d", "s", 0, "i", steps)

    cold = [played(5.0, 0.1, 0.1), played(0.2, 0.1, 0.1), played(0.2, 0.1)]
    assert seconds_each(cold) == pytest.approx([0.4, 0.4, 0.3])
    assert seconds_each([Trace("m", "d", "s", 0, "i", ())]) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_the_range_usually_holds_the_truth(workers):
    """Samples of five from known populations, of two pairs: how often the true total is inside.

    Two standard errors of each mean, added up, hold it in about 95 of 100 cases; with five
    instances the standard error is itself uncertain.
    """
    rng = np.random.default_rng(0)
    populations = [rng.gamma(4, 1, 300), rng.gamma(9, 2, 150)]
    truth = sum(population.sum() for population in populations) / workers
    inside = 0
    for _ in range(400):
        found = Forecast(
            [
                Part("m", str(n), workers, len(p), 0, 0, list(rng.choice(p, 5, replace=False)))
                for n, p in enumerate(populations)
            ]
        )
        inside += found.seconds(-2) <= truth <= found.seconds(2)
    assert 0.84 < inside / 400 < 0.99


def test_the_estimate_is_a_mean_times_the_unfinished_traces():
    one = Part("a", "d", 2, 110, 10, 0, [1.0, 3.0])
    other = Part("b", "d", 4, 400, 0, 0, [1.0, 1.0])
    # 100 traces of 2 s on two workers, then 400 of 1 s on four.
    assert Forecast([one, other]).seconds() == pytest.approx(200)
    # The standard error of 1 and 3 is 1: 100 traces of 0 to 4 s.
    assert Forecast([one, other]).seconds(-2) == pytest.approx(100)
    assert Forecast([one, other]).seconds(2) == pytest.approx(300)


def test_the_number_of_workers_comes_from_ray(discs, local_ray):
    """The forecast counts the workers that the cluster has room for; the probe runs there."""
    values = {"methods": Once, "datasets": discs(5), "clicks": 2, "executor": "ray"}
    found = forecast(make_config(values), probe=2)
    assert found.parts[0].workers == 2
    assert len(found.parts[0].seconds) == 2


def test_predictions_are_counted_from_the_opening():
    for opening, clicks, expected in (("click", 20, 20), ("box", 20, 19), ("extreme-points", 4, 1)):
        entry = SimpleNamespace(opening=opening, corrections=True)
        assert (
            forecasting.predictions_at_most(cast(MethodPlan, SimpleNamespace(entry=entry)), clicks)
            == expected
        )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "?"),
        (0, "0 s"),
        (0.4, "< 1 s"),
        (59.6, "1 min"),
        (75, "1 min 15 s"),
        (3600, "1 h"),
        (7199, "2 h"),
        (200000, "2 d 8 h"),
    ],
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words
