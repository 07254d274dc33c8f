"""The engine beside a device that works in the background."""

import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from isegbench.harness.engine import gpu, loop, score, score_on_gpu
from isegbench.harness.engine.gpu import Mark, own_lane
from isegbench.harness.engine.score import on_gpu as on_gpu_rule
from isegbench.harness.method import Method
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.random_error import RandomError

from .slow_device import SlowDevice

pytestmark = pytest.mark.timeout(60)
#: Of a batch, in seconds; much longer than what threads do for a session.
BATCH = 0.1


@pytest.fixture
def slow(monkeypatch):
    slow = SlowDevice()
    monkeypatch.setattr(gpu, "_cuda_in_use", lambda: slow)
    monkeypatch.setattr(gpu, "_lanes", threading.local())
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


def play(method, refs, distance="opencv", **settings):
    pairing = loop.Pairing(method, "m", LargestError(distance), "s")
    return list(loop.run(pairing, refs, loop.Settings(**settings)))


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
            if session.seed == loop.method_seed(0, "discs", "disc2"):
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


class Tensors(Method):
    """The disc about the first click, as a tensor; its radius grows with the clicks."""

    def predict(self, sessions):
        return [torch.from_numpy(self._map(session)) for session in sessions]

    def _map(self, session):
        y, x = np.mgrid[: session.shape[0], : session.shape[1]]
        first = session.clicks[0]
        near = np.hypot(y - first.y, x - first.x) < 4 + 2 * len(session.clicks)
        return near.astype(np.float32)


@pytest.fixture
def on_gpu(monkeypatch):
    """Tensors on the processor pass for tensors on a GPU."""
    cuda = SimpleNamespace(type="cuda")

    def rule(values, shape):
        there = SimpleNamespace(device=cuda, shape=values.shape, dtype=values.dtype)
        return on_gpu_rule(there, shape)

    monkeypatch.setattr(score, "on_gpu", rule)


class NeverPassed:
    """A device at work without end, so that groups wait until they are full batches."""

    def passed(self):
        return False


def steps_of(traces):
    return {t.instance: (t.status, t.error, [(s.click, s.iou) for s in t.steps]) for t in traces}


@pytest.mark.parametrize("distance", ["opencv", "exact"])
@pytest.mark.parametrize("batch", [1, 4])
def test_assessing_on_the_device_changes_nothing(on_gpu, discs, monkeypatch, distance, batch):
    masks, decided = [], []
    refs, settings = discs(11).instances(), {"clicks": 6, "batch_size": batch}
    checked, assess = score.checked_mask, score_on_gpu.assess
    monkeypatch.setattr(loop, "Mark", NeverPassed)
    plain = play(Tensors(), refs, distance, **settings)
    monkeypatch.setattr(score, "checked_mask", lambda *a: masks.append(1) or checked(*a))
    monkeypatch.setattr(score_on_gpu, "assess", lambda *a: decided.append(len(a[0])) or assess(*a))
    there = play(Tensors(), refs, distance, assess_on_device=True, **settings)
    assert steps_of(there) == steps_of(plain)
    predictions = sum(len(trace.steps) for trace in there)
    assert sum(decided) == predictions
    assert len(decided) < predictions or batch == 1
    assert len(masks) < predictions / 2
    if distance == "exact":
        assert not masks


def test_a_map_out_of_range_is_refused_in_the_same_words(on_gpu, discs):
    class Wrong(Tensors):
        def _map(self, session):
            values = super()._map(session)
            if session.seed == loop.method_seed(0, "discs", "disc1"):
                values[3, 4] = np.nan
            return values

    plain, there = (
        steps_of(play(Wrong(), discs(4).instances(), clicks=3, batch_size=2, assess_on_device=how))
        for how in (False, True)
    )
    assert there == plain
    assert there["disc1"][:2] == ("method-failed", "predict returned NaN in 1 pixel(s)")


def test_too_little_memory_to_assess_there_costs_nothing(on_gpu, discs, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    plain = play(Tensors(), discs(4).instances(), clicks=3, batch_size=2)
    monkeypatch.setattr(score_on_gpu, "assess", full)
    there = play(Tensors(), discs(4).instances(), clicks=3, batch_size=2, assess_on_device=True)
    assert steps_of(there) == steps_of(plain)


@pytest.mark.parametrize("wanted", [{"boundary_iou": True}, {"save_masks": True}, {}])
def test_where_masks_are_wanted_they_are_made(on_gpu, discs, monkeypatch, wanted):
    """Also by a simulator that has its own rule."""
    simulator = LargestError() if wanted else RandomError()
    monkeypatch.setattr(score_on_gpu, "assess", None)
    pairing = loop.Pairing(Tensors(), "m", simulator, "s")
    settings = loop.Settings(clicks=3, batch_size=2, assess_on_device=True, **wanted)
    traces = list(loop.run(pairing, discs(4).instances(), settings))
    assert {trace.status for trace in traces} == {"ok"}
    assert all(trace.mask is not None for trace in traces) == ("save_masks" in wanted)


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
        "import sys\nfrom isegbench.harness.engine.gpu import Mark, own_lane\n"
        "Mark().wait()\nwith own_lane(): pass\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
