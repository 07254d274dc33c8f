"""The engine beside a device that works in the background."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from isegbench.harness import device, engine
from isegbench.harness.device import Mark, own_lane
from isegbench.harness.method import Method
from isegbench.harness.simulators.largest_error import LargestError

from .slow_device import SlowDevice

pytestmark = pytest.mark.timeout(60)
#: Of a batch, in seconds; much longer than what threads do for a session.
BATCH = 0.1


@pytest.fixture
def slow(monkeypatch):
    slow = SlowDevice()
    monkeypatch.setattr(device, "_cuda_in_use", lambda: slow)
    monkeypatch.setattr(device, "_lanes", threading.local())
    return slow


class Background(Method):
    """Everything is object; the device needs BATCH seconds for a batch, whatever its size."""

    threaded = True

    def __init__(self, slow: SlowDevice) -> None:
        self._slow = slow
        self.sizes: list[int] = []
        self.early: list[str] = []
        self.threads: set[tuple[str, str]] = set()

    def begin(self, session):
        self.threads.add(("begin", threading.current_thread().name))

    def batch_key(self, session):
        self.threads.add(("batch_key", threading.current_thread().name))

    def launch(self, sessions):
        self.threads.add(("launch", threading.current_thread().name))
        self.sizes.append(len(sessions))
        self._slow.give(BATCH)
        done = self._slow.Event(True, True)
        done.record()
        return [lambda s=session: self._finish(s, done) for session in sessions]

    def _finish(self, session, done):
        self.threads.add(("finish", threading.current_thread().name))
        if not done.query():
            self.early.append("asked for a map before the device had made it")
        return np.ones(session.shape, np.float32)


def play(method, refs, **settings):
    pairing = engine.Pairing(method, "m", LargestError(), "s")
    return list(engine.run(pairing, refs, engine.Settings(**settings)))


def test_batches_stay_full_and_the_device_is_given_the_next_while_it_works(slow, discs):
    """Eight rounds of 12 sessions in batches of 4: were the device left alone between them, or
    given fewer at once, there would be more batches than 24 and pauses between them."""
    method = Background(slow)
    traces = play(method, discs(12).instances(), clicks=8, batch_size=4, threads=4)
    assert {trace.status for trace in traces} == {"ok"}
    assert sum(method.sizes) == 12 * 8
    assert not method.early
    full = sum(size == 4 for size in method.sizes)
    assert full >= len(method.sizes) - 6, method.sizes


def test_a_full_batch_does_not_wait_for_the_one_before(slow, discs):
    launched: list[bool] = []

    class Noting(Background):
        def launch(self, sessions):
            launched.append(slow.free_at > time.perf_counter())
            return super().launch(sessions)

    play(Noting(slow), discs(24).instances(), clicks=4, batch_size=4, threads=2)
    assert sum(launched) >= len(launched) // 2


def test_what_a_session_needs_for_itself_is_done_in_the_pools_threads(slow, discs):
    method = Background(slow)
    play(method, discs(6).instances(), clicks=3, batch_size=2)
    here = threading.current_thread().name
    by_work: dict[str, set[str]] = {}
    for work, thread in method.threads:
        by_work.setdefault(work, set()).add(thread)
    assert by_work["launch"] == {here}
    for work in ("begin", "batch_key", "finish"):
        assert here not in by_work[work], work
    entered = [thread for what, thread in slow.history if what == "lane entered"]
    emptied = [thread for what, thread in slow.history if what == "lane emptied"]
    assert here not in entered
    # Six times to begin, three times each for a map, twice each to prepare for another click.
    assert len(entered) == len(emptied) == 6 + 18 + 12


def test_a_method_that_is_not_threaded_is_met_in_one_thread_only(slow, discs):
    class Shy(Background):
        threaded = False

    method = Shy(slow)
    play(method, discs(6).instances(), clicks=3, batch_size=2)
    here = threading.current_thread().name
    assert {thread for work, thread in method.threads if work != "finish"} == {here}


def test_the_devices_seconds_are_the_methods(slow, discs):
    (trace,) = play(Background(slow), discs(1).instances(), clicks=1)
    assert BATCH * 0.9 < trace.steps[0].predict_seconds < BATCH * 3


def test_a_map_that_cannot_be_finished_costs_its_session_alone(slow, discs):
    class Breaking(Background):
        def _finish(self, session, done):
            if session.seed == engine.method_seed(0, "discs", "disc2"):
                raise RuntimeError("an error the device told of late")
            return super()._finish(session, done)

    traces = play(Breaking(slow), discs(6).instances(), clicks=2, batch_size=3)
    failed = {trace.instance: trace for trace in traces if trace.status != "ok"}
    assert list(failed) == ["disc2"]
    assert failed["disc2"].status == "method-failed"
    assert "told of late" in failed["disc2"].error


def test_a_late_map_is_late_by_the_devices_clock(slow, discs):
    (trace,) = play(Background(slow), discs(1).instances(), clicks=1, time_limit=BATCH / 4)
    assert trace.status == "timed-out"


def test_results_are_those_of_a_method_that_only_predicts(discs, nearest_seed):
    """`launch` by default, with and without threads."""

    class Threaded(nearest_seed):
        threaded = True

    steps = [
        {t.instance: [s.click for s in t.steps] for t in play(m(), discs(7).instances(), clicks=5)}
        for m in (nearest_seed, Threaded)
    ]
    assert steps[0] == steps[1]


def test_without_a_gpu_in_use_nothing_is_waited_for():
    assert not torch.cuda.is_initialized()
    mark = Mark()
    assert mark.passed()
    mark.wait()
    assert Mark().seconds_since(mark) == 0.0
    with own_lane():
        pass


def test_does_not_import_torch():
    code = (
        "import sys\nfrom isegbench.harness.device import Mark, own_lane\n"
        "Mark().wait()\nwith own_lane(): pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
