"""Which sessions share a predict call, and what happens when the call fails."""

import gc
import threading
import weakref

import numpy as np
import pytest
import torch

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.method import Method
from isegbench.harness.simulators.largest_error import LargestError


def engine(method, **settings):
    return Engine(Pairing(method, "m", LargestError(), "s"), Settings(**settings))


class Ones(Method):
    """Everything is object; every session may share a batch. Notes who was in each call."""

    def __init__(self):
        self.calls: list[list[int]] = []
        self.threads: set[str] = set()

    def predict(self, sessions):
        self.threads.add(threading.current_thread().name)
        self.calls.append([session.seed for session in sessions])
        return [np.ones(session.shape, np.float32) for session in sessions]

    def batch_key(self, session):
        self.threads.add(threading.current_thread().name)

    @property
    def sizes(self):
        return [len(call) for call in self.calls]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_batch_is_smaller_only_when_no_more_sessions_are_left(discs, threads):
    method = Ones()
    full = engine(method, clicks=7, batch_size=4, threads=threads)
    traces = list(full.run(discs(13).instances()))
    assert {trace.status for trace in traces} == {"ok"}
    assert sum(method.sizes) == 13 * 7
    first_small = next(i for i, size in enumerate(method.sizes) if size < 4)
    assert len({seed for call in method.calls[first_small:] for seed in call}) < 4


def test_full_batches_do_not_wait_for_a_session_that_is_slow_to_score(discs):
    """One simulated click takes as long as it takes to predict every other session."""
    others_done = threading.Event()

    class SlowOnce(LargestError):
        def correct(self, instance, probabilities, mask, clicks, rng):
            if instance.name == "disc0":
                assert others_done.wait(60)
            return super().correct(instance, probabilities, mask, clicks, rng)

    pairing = Pairing(Ones(), "m", SlowOnce(), "s")
    finished = []
    for trace in Engine(pairing, Settings(clicks=2, batch_size=1, threads=2)).run(
        discs(9).instances()
    ):
        finished.append(trace.instance)
        if len(finished) == 8:
            others_done.set()
    assert finished[-1] == "disc0"
    assert len(finished) == 9


def test_only_one_thread_calls_the_method(discs):
    class Noting(Ones):
        def begin(self, session):
            self.threads.add(threading.current_thread().name)

    method = Noting()
    list(engine(method, clicks=3, batch_size=2, threads=4).run(discs(6).instances()))
    assert method.threads == {threading.current_thread().name}


class SmallMemory(Ones):
    """Three sessions at a time fit into the memory of a device that fails as torch's does."""

    def predict(self, sessions):
        maps = super().predict(sessions)
        if len(sessions) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return maps


def test_a_batch_too_large_for_the_memory_is_halved_and_the_size_remembered(discs):
    method = SmallMemory()
    small = engine(method, clicks=2, batch_size=12, threads=1)
    traces = list(small.run(discs(24).instances()))
    assert sorted(trace.status for trace in traces) == ["ok"] * 24
    assert list(small.sizes.reduced.values()) == [3]
    too_large = [size for size in method.sizes if size > 3]
    assert too_large == [12, 6, 6], "one batch is halved until it fits; no later one is too large"
    assert sum(size for size in method.sizes if size <= 3) == 24 * 2
    list(small.run(discs(24).instances()))
    assert len([size for size in method.sizes if size > 3]) == 3, "nor in the next run"


def test_the_memory_of_a_failed_batch_is_free_when_its_parts_are_predicted(discs):
    class Array(np.ndarray):
        """An array that weak references can point to."""

    class Large(Ones):
        alive: weakref.ref | None = None

        def predict(self, sessions):
            if len(sessions) == 1:
                assert self.alive is not None
                assert self.alive() is None
            else:
                large = np.zeros(10).view(Array)
                self.alive = weakref.ref(large)
                raise ValueError(f"failed with {len(large)}")
            return super().predict(sessions)

    gc.disable()
    try:
        traces = list(engine(Large(), clicks=1, batch_size=4).run(discs(4).instances()))
    finally:
        gc.enable()
    assert [trace.status for trace in traces] == ["ok"] * 4


def test_one_session_too_large_for_the_memory_costs_itself_alone(discs):
    bad = method_seed(0, "discs", "disc3")

    class Never(Ones):
        def predict(self, sessions):
            if any(session.seed == bad for session in sessions):
                raise RuntimeError("CUDA error: out of memory")
            return super().predict(sessions)

    traces = engine(Never(), clicks=1, batch_size=4, threads=1).run(discs(8).instances())
    (failed,) = [trace for trace in traces if trace.status != "ok"]
    assert (failed.instance, failed.status) == ("disc3", "method-failed")
    assert "out of memory" in str(failed.error)


def test_the_time_of_a_batch_is_shared_by_its_sessions(discs, monkeypatch):
    """A clock that moves only inside of `begin` (1 s) and `predict` (8 s)."""
    now = [0.0]
    monkeypatch.setattr("isegbench.harness.engine.predict.perf_counter", lambda: now[0])

    class Clocked(Ones):
        def begin(self, session):
            now[0] += 1

        def predict(self, sessions):
            now[0] += 8
            return super().predict(sessions)

    traces = list(engine(Clocked(), clicks=2, batch_size=4).run(discs(4).instances()))
    assert [[step.predict_seconds for step in t.steps] for t in traces] == [[3.0, 2.0]] * 4
