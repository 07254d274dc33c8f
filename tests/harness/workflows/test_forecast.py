"""A dry run: the plan it tells, the time it foretells, and that it leaves nothing behind."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

import isegbench
from isegbench.harness.cli.dry_run import duration
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.resources import Resources
from isegbench.harness.types import Click, Step, Trace
from isegbench.harness.workflows import forecast as forecasting
from isegbench.harness.workflows.forecast import Forecast, Part, Room, forecast, seconds_each


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


def test_it_tells_the_plan_and_writes_nothing(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs), probe=3)
    sleeper, once = found.parts
    assert (sleeper.planned, sleeper.finished, sleeper.left) == (24, 0, 24)
    # Three clicks open, five correct: six predictions. The other predicts once.
    assert (sleeper.predictions, once.predictions) == (24 * 6, 24)
    assert len(sleeper.seconds) == len(once.seconds) == 3
    # 0.03 s once and 0.01 s five times.
    assert 0.07 < np.mean(sleeper.seconds) < 0.5
    assert found.room.workers == {"Sleeper": 1, "Once": 1}
    assert list(tmp_path.iterdir()) == []


def test_it_knows_what_is_finished(tmp_path, discs):
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
    assert found.seconds == 0
    assert found.parts[0].predictions == 0


def test_a_directory_that_could_not_be_resumed_is_refused(tmp_path, discs):
    isegbench.run([Once], [discs(3)], clicks=4, out=tmp_path / "run")
    with pytest.raises(UserError, match="clicks: 4 in the run, now 8"):
        forecast(plan_of(tmp_path, discs))


class Broken(Method):
    def predict_one(self, session):
        raise RuntimeError("no weights in here")


def test_what_fails_in_the_probe_is_told(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs, methods=[Broken, Once]), probe=2)
    assert found.seconds is None
    assert len(found.parts[0].failures) == 2
    assert "method-failed: RuntimeError: no weights in here" in found.parts[0].failures[0]


def test_without_a_probe_nothing_is_played(tmp_path, discs):
    found = forecast(plan_of(tmp_path, discs, methods=[Broken]), probe=0)
    assert not found.parts[0].failures
    assert found.seconds is None


def test_a_slow_probe_stops_after_one_of_each(tmp_path, discs, monkeypatch):
    monkeypatch.setattr(forecasting, "PROBE_SECONDS", 0.0)
    found = forecast(plan_of(tmp_path, discs), probe=6)
    assert [len(part.seconds) for part in found.parts] == [1, 1]
    assert found.interval is None


def test_ctrl_c_ends_the_probe_and_keeps_the_plan(tmp_path, discs):
    def interrupt(done, of):
        if done == 3:
            raise KeyboardInterrupt

    found = forecast(plan_of(tmp_path, discs), 4, interrupt)
    assert found.interrupted
    assert sum(len(part.seconds) for part in found.parts) == 3


def test_the_probe_is_spread_over_the_data_set():
    assert forecasting._spread(range(100), 5) == [50, 10, 30, 70, 90]
    assert sorted(forecasting._spread(range(3), 5)) == [0, 1, 2]
    assert forecasting._spread(range(3), 0) == []


def test_waking_up_is_not_counted_for_every_instance():
    def played(*seconds):
        steps = tuple(Step(Click(0, 0, "positive"), 0.5, s, s) for s in seconds)
        return Trace("m", "d", "s", 0, "i", steps)

    cold = [played(5.0, 0.1, 0.1), played(0.2, 0.1, 0.1), played(0.2, 0.1)]
    assert seconds_each(cold) == pytest.approx([0.4, 0.4, 0.3])
    assert seconds_each([Trace("m", "d", "s", 0, "i", ())]) == []


@pytest.mark.parametrize("workers", [1, 4])
def test_nine_of_ten_intervals_hold_the_truth(workers):
    """Samples of five from known populations, of two pairs: how often the true total is inside."""
    rng = np.random.default_rng(0)
    populations = [rng.gamma(4, 1, 300), rng.gamma(9, 2, 150)]
    truth = sum(population.sum() for population in populations) / workers
    inside = 0
    for _ in range(400):
        parts = [
            Part("m", str(n), Resources(), len(p), 0, 0, list(rng.choice(p, 5, replace=False)))
            for n, p in enumerate(populations)
        ]
        low, high = Forecast(parts, Room({"m": workers})).interval
        inside += low <= truth <= high
    assert 0.84 < inside / 400 < 0.96


def part(method, seconds, left, **resources):
    return Part(method, "d", Resources(**resources), left, 0, 0, [seconds, seconds])


def test_methods_share_the_machines_as_far_as_they_go():
    gpu = part("gpu", 2.0, 100, cpus=1, gpus=0.5)
    cpu = part("cpu", 1.0, 400, cpus=1, gpus=0)
    room = Room({"gpu": 2, "cpu": 8}, cpus=8, gpus=1)
    # 200 s on two workers of a GPU; meanwhile 600 s of cores on eight of them is less.
    assert Forecast([gpu, cpu], room).seconds == pytest.approx(100)
    # Where cores are few, both wait for them.
    room = Room({"gpu": 2, "cpu": 2}, cpus=2, gpus=1)
    assert Forecast([gpu, cpu], room).seconds == pytest.approx(300)
    # Methods of one kind never run at the same time with more workers than fit.
    twin = part("twin", 2.0, 100, cpus=1, gpus=0.5)
    room = Room({"gpu": 2, "twin": 2}, cpus=8, gpus=1)
    assert Forecast([gpu, twin], room).seconds == pytest.approx(200)


def test_the_number_of_workers_comes_from_ray(discs, local_ray):
    """The forecast counts the workers that the cluster has room for; the probe runs there."""
    values = {"methods": Once, "datasets": discs(5), "clicks": 2, "executor": "ray"}
    found = forecast(make_config(values), probe=2)
    assert found.room == Room({"Once": 2}, cpus=2.0, gpus=0.0)
    assert len(found.parts[0].seconds) == 2


def test_predictions_are_counted_from_the_opening():
    for opening, clicks, expected in (("click", 20, 20), ("box", 20, 19), ("extreme-points", 4, 1)):
        entry = SimpleNamespace(opening=opening, corrections=True)
        assert forecasting.predictions_at_most(SimpleNamespace(entry=entry), clicks) == expected


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
