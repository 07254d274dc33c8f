"""What people see of a run: bars on a terminal, plain lines elsewhere."""

import io
import time
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from isegbench.harness.cli import progress
from isegbench.harness.cli.progress import Progress
from isegbench.harness.executors.executor import PoolStatus
from isegbench.harness.types import Status, Trace


def jobs(pairs, count=3) -> list[Any]:
    return [
        SimpleNamespace(method=SimpleNamespace(name=m), dataset_name=d, refs=[None] * count)
        for m, d in pairs
    ]


def trace(method, dataset, status: Status = "ok"):
    return Trace(method, dataset, "s", 0, "i", (), status)


def shown(terminal, pairs, height=40, monkeypatch=None):
    file = io.StringIO()
    console = Console(
        file=file, force_terminal=terminal, width=100, height=height, color_system=None
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


def test_plain_lines_say_now_and_then_how_far_everything_is(monkeypatch):
    monkeypatch.setattr(progress, "_QUIET", 0.0)
    text = shown(False, PAIRS)
    assert "geodesic:k=[3] on samples: 1/3 ETA ?" in text
    assert "everything: 1/6 ETA ?; 2 of 2 workers alive" in text


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
