"""Rates and remaining times against runs whose end is known."""

from types import SimpleNamespace
from typing import Any

import pytest

from isegbench.harness.cli.pace import Pace
from isegbench.harness.types import Click, Status, Step, Trace


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def job(method, dataset, count) -> Any:
    return SimpleNamespace(
        method=SimpleNamespace(name=method), dataset_name=dataset, refs=[None] * count
    )


def trace(method, dataset, seconds, status: Status = "ok"):
    step = Step(Click(0, 0, "positive"), 0.5, seconds, seconds)
    return Trace(method, dataset, "s", 0, "i", (step,), status)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_end_is_foretold_with_any_number_of_workers(workers):
    """Two data sets, one ten times slower: the whole end is right once both are known."""
    clock = Clock()
    pace = Pace([job("m", "fast", 400), job("m", "slow", 100)], clock)
    cost = {"fast": 1.0, "slow": 10.0}
    order = [name for _ in range(100) for name in ("slow", "fast", "fast", "fast", "fast")]
    end = clock.now + sum(cost[name] for name in order) / workers
    for done, name in enumerate(order):
        clock.now += cost[name] / workers
        pace.add(trace("m", name, cost[name]))
        if done > 100:
            assert pace.seconds_left() == pytest.approx(end - clock.now, rel=0.15, abs=12)
    assert pace.seconds_left() == 0
    assert pace.done == pace.planned


def test_one_after_the_other_a_pair_knows_its_own_end():
    clock = Clock()
    pace = Pace([job("m", "a", 50), job("m", "b", 50)], clock)
    for _ in range(50):
        clock.now += 2
        pace.add(trace("m", "a", 2))
    assert pace.rate(("m", "b")) is None
    assert pace.seconds_left(("m", "b")) is None
    # What is not known yet is taken to be as slow as what is.
    assert pace.seconds_left() == pytest.approx(100)
    for _ in range(10):
        clock.now += 4
        pace.add(trace("m", "b", 4))
    assert pace.seconds_left(("m", "b")) == pytest.approx(160)
    assert pace.rate(("m", "a")) == pytest.approx(0.5), "it changes after its end"


def test_what_comes_at_once_is_no_speed():
    clock = Clock()
    pace = Pace([job("m", "a", 100)], clock)
    for _ in range(8):
        pace.add(trace("m", "a", 0.1))
    assert pace.rate(("m", "a")) is None
    assert pace.seconds_left() is None
    clock.now += 2
    for _ in range(8):
        pace.add(trace("m", "a", 0.1))
    assert pace.rate(("m", "a")) == pytest.approx(4)
    assert pace.seconds_left(("m", "a")) == pytest.approx(21)


def test_a_standstill_moves_the_end_away():
    clock = Clock()
    pace = Pace([job("m", "a", 100)], clock)
    for _ in range(10):
        clock.now += 1
        pace.add(trace("m", "a", 1))
    before = pace.seconds_left()
    clock.now += 60
    after = pace.seconds_left()
    assert before is not None
    assert after is not None
    assert after > 5 * before


def test_old_speed_is_forgotten_and_memory_is_bounded():
    clock = Clock()
    pace = Pace([job("m", "a", 100_000)], clock)
    for gap in [1.0] * 500 + [0.01] * 20_000:
        clock.now += gap
        pace.add(trace("m", "a", gap))
    assert pace.rate(("m", "a")) == pytest.approx(100, rel=0.02)
    assert len(pace._arrived[("m", "a")]._moments) < 1000


def test_failures_are_counted_and_may_have_no_steps():
    pace = Pace([job("m", "a", 2)], Clock())
    pace.add(Trace("m", "a", "s", 0, "i", (), "data-failed", "no such file"))
    assert pace.failed[("m", "a")] == 1
    assert pace.seconds_left() is None
