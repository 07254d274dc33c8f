"""Progress of a run and of a training: bars on a terminal, plain lines elsewhere."""

import io
import re
import time
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from isegbench.harness.cli.progress import Progress
from isegbench.harness.cli.training_progress import TrainingProgress
from isegbench.harness.executors.executor import PoolStatus
from isegbench.harness.types import Status, Trace


def jobs(pairs, count=3) -> list[Any]:
    return [
        SimpleNamespace(method=SimpleNamespace(name=m), dataset_name=d, refs=[None] * count)
        for m, d in pairs
    ]


def trace(method, dataset, status: Status = "ok"):
    return Trace(method, dataset, "s", 0, "i", (), status)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def plain(clock):
    return Console(file=io.StringIO(), force_terminal=False, width=100, get_time=clock)


def printed(console):
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def shown(terminal, pairs, height=40):
    file = io.StringIO()
    console = Console(
        file=file,
        force_terminal=terminal,
        width=100,
        height=height,
        color_system=None,
        get_time=None if terminal else Clock(),
    )
    with Progress(console) as seen:
        seen.start(jobs(pairs), 5)
        seen.watch(PoolStatus(2, 2))
        for method, dataset in pairs:
            seen.advance(trace(method, dataset))
            seen.advance(trace(method, dataset, "method-failed"))
            seen.watch(PoolStatus(1, 2, failures=1, retried=3, problem="out of [memory]"))
            seen.advance(trace(method, dataset))
    return file.getvalue()


PAIRS = [("geodesic:k=[3]", "samples"), ("oracle", "samples")]


def test_plain_lines_where_nobody_watches():
    text = shown(False, PAIRS)
    assert "\x1b" not in text
    assert "\r" not in text
    lines = text.splitlines()
    assert lines[:2] == ["Resuming: 5 finished traces are kept.", "2 of 2 workers alive"]
    assert "geodesic:k=[3] on samples: 3/3 1 failed" in lines
    died = "1 of 2 workers alive, 1 died, 3 instances tried again; the newest: out of [memory]"
    assert lines.count(died) == 1


def test_plain_lines_say_how_far_a_run_is_every_ten_seconds():
    clock = Clock()
    console = plain(clock)
    with Progress(console) as seen:
        seen.start(jobs(PAIRS, 10), 0)
        seen.watch(PoolStatus(2, 2))
        for number in range(6):
            clock.now += 2
            seen.advance(trace("oracle", "samples", "ok" if number else "timed-out"))
    # The second line is due after ten seconds: five traces, one every two seconds.
    assert printed(console).splitlines() == [
        "2 of 2 workers alive",
        "everything: 5/20 2.0 s each ETA 0:00:30 1 failed",
        "oracle on samples: 5/10 2.0 s each ETA 0:00:10 1 failed",
        "2 of 2 workers alive",
    ]


def test_old_speed_is_forgotten():
    clock = Clock()
    console = plain(clock)
    with Progress(console) as seen:
        seen.start(jobs([("m", "d")], 800), 0)
        for gap in [10.0] * 100 + [0.25] * 600:
            clock.now += gap
            seen.advance(trace("m", "d"))
    last = printed(console).splitlines()[-1]
    assert re.fullmatch(r"m on d: \d+/800 4.0/s ETA 0:00:\d\d", last)


def test_what_arrives_at_once_is_no_speed():
    console = plain(Clock())
    with Progress(console) as seen:
        seen.start(jobs(PAIRS), 0)
        for _ in range(3):
            seen.advance(trace("oracle", "samples"))
    assert printed(console) == "oracle on samples: 3/3\n"


def test_a_training_shows_steps_speed_and_loss():
    clock = Clock()
    console = plain(clock)
    with TrainingProgress(console) as seen:
        seen.start(100, 20)
        for _ in range(61):
            clock.now += 0.5
            seen.step(0.25)
        seen.say("validation: [0.5]")
    assert printed(console).splitlines() == [
        "Resuming after step 20 of 100.",
        "step: 80/100 2.0 steps/s ETA 0:00:10 loss 0.25",
        "validation: [0.5]",
    ]


def test_a_training_has_a_bar_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    with TrainingProgress(console) as seen:
        seen.start(3, 0)
        for _ in range(3):
            seen.step(0.5)
    text = printed(console)
    assert "3/3" in text
    assert "loss 0.5" in text


def test_a_bar_for_each_pair_and_one_for_all():
    text = shown(True, PAIRS)
    for name in ("geodesic:k=[3] on samples", "oracle on samples", "everything"):
        assert name in text
    assert "1 of 2 workers alive, 1 died, 3 instances tried again" in text
    assert "1 failed" in text
    last = text.rpartition("everything")[2]
    assert "6/6" in last


def test_finished_bars_make_room_where_there_are_too_many():
    pairs = [(f"m{number}", "samples") for number in range(20)]
    text = shown(True, pairs, height=12)
    assert "m0 on samples: 3/3" in text
    # On the last picture only the bar of everything is left, and the workers.
    assert len(text.rpartition("everything")[2].strip().splitlines()) <= 3


def test_it_costs_little():
    """A run of cheap predictions brings thousands of traces a second."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    seen = Progress(console)
    seen.start(jobs([("m", "d")], 5000), 0)
    one = trace("m", "d")
    started = time.process_time()
    for _ in range(5000):
        seen.advance(one)
    assert (time.process_time() - started) / 5000 < 0.001
