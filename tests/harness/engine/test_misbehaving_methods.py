"""Methods that break every rule on one instance: it fails, and the others are as without them."""

import json
import os
import signal
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import isegbench
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method

SPOILED = method_seed(0, "discs", "disc1")
STABLE = ["dataset", "seed", "instance", "click", "y", "x", "kind", "iou", "status"]


class Own(BaseException):
    pass


class Silent(Exception):
    def __str__(self):
        raise RuntimeError("no message")

    __repr__ = __str__


class Odd(Exception):
    def __str__(self):
        return 5  # pyright: ignore


class UnequalKey:
    def __hash__(self):
        return 1

    def __eq__(self, other):
        raise RuntimeError("not comparable")


class Unhashable:
    def __hash__(self):
        raise SystemExit(3)


class Subclass(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return "nothing"


def same_traces(left, right):
    """The two runs gave the same traces, whatever the name of the method."""
    pd.testing.assert_frame_equal(pd.DataFrame(left[STABLE]), pd.DataFrame(right[STABLE]))


def raising(error):
    def misbehave(session):
        raise error

    return misbehave


def zeros(session):
    return np.zeros(session.shape, np.float32)


def endless(session):
    while True:
        yield zeros(session)


FAILING = {
    "exit": raising(SystemExit(0)),
    "keyboard": raising(KeyboardInterrupt()),
    "generator-exit": raising(GeneratorExit()),
    "stop": raising(StopIteration()),
    "base": raising(Own("own")),
    "silent": raising(Silent()),
    "odd": raising(Odd()),
    "long": raising(ValueError("x" * 10_000_000)),
    "surrogate": raising(ValueError("a\udc80\u2028b\x85c\x00d\x1b[31m")),
    "recursion": lambda s: FAILING["recursion"](s),
    "sparse": lambda s: torch.ones(s.shape).to_sparse(),
    "csr": lambda s: torch.ones(s.shape).to_sparse_csr(),
    "meta": lambda s: torch.ones(s.shape, device="meta"),
    "complex": lambda s: torch.ones(s.shape, dtype=torch.complex64),
    "quantised": lambda s: torch.quantize_per_tensor(torch.ones(s.shape), 1, 0, torch.quint8),
    "nested": lambda s: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "tensor-subclass": lambda s: torch.ones(s.shape).as_subclass(Subclass),
    "masked": lambda s: np.ma.array(zeros(s), mask=True),
    "object": lambda s: zeros(s).astype(object),
    "half": lambda s: zeros(s).astype(np.float16),
    "0-d": lambda s: np.float32(0.5),
    "huge": lambda s: np.broadcast_to(np.float32(0), (10**6, 10**6)),
    "list": lambda s: zeros(s).tolist(),
    "dict": lambda s: {"map": zeros(s)},
    "generator": lambda s: endless(s),
}


class Spoiling:
    """Misbehaves in the second prediction of one instance; put before a sound method."""

    misbehave = staticmethod(zeros)

    def predict_one(self, session):
        if session.seed == SPOILED and len(session.clicks) == 2:
            return self.misbehave(session)
        return super().predict_one(session)  # pyright: ignore


def others_are_sound(frame, discs, nearest_seed, **options):
    sound = isegbench.run(nearest_seed, discs(3), clicks=3, **options).traces
    columns = [frame[frame.instance != "disc1"][STABLE], sound[sound.instance != "disc1"][STABLE]]
    pd.testing.assert_frame_equal(*[one.reset_index(drop=True) for one in columns])


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("what", FAILING)
def test_it_costs_its_instance_alone(tmp_path, discs, nearest_seed, what, batch_size):
    class Bad(Spoiling, nearest_seed):
        misbehave = staticmethod(FAILING[what])

    options = {"clicks": 3, "batch_size": batch_size, "out": tmp_path / "o"}
    run = isegbench.run(Bad, discs(3), **options)
    others_are_sound(run.traces, discs, nearest_seed, batch_size=batch_size)
    assert run.failures[["instance", "status"]].to_numpy().tolist() == [["disc1", "method-failed"]]
    text = (tmp_path / "o" / "failures.jsonl").read_text("utf-8")
    assert len(text.splitlines()) == 1
    assert len(text) < 25_000
    assert json.loads(text)["error"] == run.failures.message[0]
    assert run.failures.message[0]
    again = isegbench.run(Bad, discs(3), **options)
    pd.testing.assert_frame_equal(again.traces, run.traces)


SOUND = {
    "read-only": lambda map_: map_.setflags(write=False) or map_,
    "negative-strides": lambda map_: np.ascontiguousarray(map_[::-1, ::-1])[::-1, ::-1],
    "subclass": lambda map_: map_.view(np.matrix),
    "unmasked": np.ma.array,
    "gradient": lambda map_: torch.tensor(map_, requires_grad=True),
    "parameter": lambda map_: torch.nn.Parameter(torch.tensor(map_)),
}


@pytest.mark.parametrize("what", SOUND)
def test_other_forms_of_a_map_are_scored_alike(discs, nearest_seed, what):
    class Other(nearest_seed):
        def predict_one(self, session):
            return SOUND[what](super().predict_one(session))

    frames = [isegbench.run(method, discs(3), clicks=3).traces for method in (Other, nearest_seed)]
    same_traces(*frames)


@pytest.mark.parametrize("tensor", [False, True])
def test_an_output_that_is_filled_again_is_scored_as_it_was(discs, nearest_seed, tensor):
    class Reusing(nearest_seed):
        def __init__(self):
            self.buffer = np.zeros((64, 64), np.float32)

        def predict_one(self, session):
            h, w = session.shape
            self.buffer[:h, :w] = super().predict_one(session)
            view = self.buffer[:h, :w]
            return torch.from_numpy(view) if tensor else view

    frames = [isegbench.run(m, discs(6), clicks=4).traces for m in (Reusing, nearest_seed)]
    same_traces(*frames)


def change_process(session):
    os.chdir("/")
    np.seterr(all="raise")
    warnings.simplefilter("error")
    sys.stdout = sys.stderr = None
    sys.setrecursionlimit(200)
    np.random.seed(1)
    torch.manual_seed(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def change_session(session):
    session.image.flags.writeable = True
    session.image[:] = 0
    session.clicks = session.clicks[:1]
    session.memory = session.truth = session.previous = None


@pytest.mark.parametrize("change", [change_process, change_session])
def test_what_a_method_changes_changes_no_trace(tmp_path, monkeypatch, discs, nearest_seed, change):
    class Changing(nearest_seed):
        def predict_one(self, session):
            probabilities = super().predict_one(session)
            change(session)
            return probabilities

    monkeypatch.chdir(tmp_path)
    before = sys.stdout, np.geterr(), signal.getsignal(signal.SIGINT), sys.getrecursionlimit()
    run = isegbench.run(Changing, discs(3), clicks=3, out="o")
    after = sys.stdout, np.geterr(), signal.getsignal(signal.SIGINT), sys.getrecursionlimit()
    assert before == after
    assert os.getcwd() == str(tmp_path)
    sound = isegbench.run(nearest_seed, discs(3), clicks=3).traces
    same_traces(run.traces, sound)


def test_the_truth_cannot_be_changed(discs):
    class Cheating(Method):
        sees_truth = True

        def predict_one(self, session):
            assert session.truth is not None
            session.truth.flags.writeable = True
            session.truth[:] = 1
            return np.ones(session.shape, np.float32)

    assert (isegbench.run(Cheating, discs(2), clicks=2).traces.iou < 1).all()


@pytest.mark.parametrize("key", [UnequalKey, Unhashable, list])
def test_a_bad_batch_key_costs_its_instance(discs, nearest_seed, key):
    class Keyed(nearest_seed):
        def batch_key(self, session):
            return key() if session.seed == SPOILED else 1

    run = isegbench.run(Keyed, discs(3), clicks=3, batch_size=3)
    assert set(run.failures.instance) <= {"disc1"}
    others_are_sound(run.traces, discs, nearest_seed, batch_size=3)


@pytest.mark.parametrize("where", ["begin", "predict_one", "sleep"])
def test_a_call_without_end_is_interrupted(discs, nearest_seed, where):
    class Endless(nearest_seed):
        def begin(self, session):
            while where == "begin" and session.seed == SPOILED:
                pass

        def predict_one(self, session):
            while where != "begin" and session.seed == SPOILED:
                time.sleep(100 if where == "sleep" else 0)
            return super().predict_one(session)

    run = isegbench.run(Endless, discs(3), clicks=3, time_limit=0.5)
    assert run.failures[["instance", "status"]].to_numpy().tolist() == [["disc1", "timed-out"]]
    others_are_sound(run.traces, discs, nearest_seed)


def test_a_real_interrupt_ends_the_run_even_if_the_method_catches_it(discs, nearest_seed):
    class Catching(nearest_seed):
        def predict_one(self, session):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(5)
            except BaseException:
                pass
            return super().predict_one(session)

    with pytest.raises(KeyboardInterrupt):
        isegbench.run(Catching, discs(2))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", "0.5"),
        ("threshold", float("nan")),
        ("threshold", np.zeros(2)),
        ("threshold", property(raising(RuntimeError("no")))),
        ("corrections", "no"),
        ("sees_truth", np.zeros(2)),
        ("opening", "lasso"),
        ("opening", ["click"]),
        ("__init__", raising(SystemExit(0))),
        ("__init__", raising(KeyboardInterrupt())),
        ("__init__", raising(Silent())),
    ],
)
def test_a_method_that_cannot_be_described_is_refused(discs, nearest_seed, name, value):
    bad = type("Bad", (nearest_seed,), {name: value})
    with pytest.raises(UserError, match="Bad"):
        isegbench.run(bad, discs(1))


def test_a_method_without_predict_is_refused(discs):
    with pytest.raises(UserError, match="must define predict_one or predict"):
        isegbench.run(type("Nothing", (Method,), {}), discs(1))


def test_what_a_method_declares_is_read_once(discs, nearest_seed):
    class Changing(nearest_seed):
        def predict_one(self, session):
            self.threshold, self.opening, self.corrections = "high", "box", None
            return super().predict_one(session)

    frames = [isegbench.run(m, discs(3), clicks=3).traces for m in (Changing, nearest_seed)]
    same_traces(*frames)


def test_a_method_whose_first_instances_fail_alike_stops(discs, nearest_seed):
    class Failing(nearest_seed):
        def predict_one(self, session):
            raise ValueError(f"failed on {session.seed}")

    run = isegbench.run([Failing, nearest_seed], discs(9), clicks=2)
    assert run.traces[run.traces.method == "Failing"].instance.nunique() == 5
    assert run.traces[run.traces.method != "Failing"].instance.nunique() == 9
    everything = isegbench.run(Failing, discs(9), clicks=2, stop_failing_after=0)
    assert len(everything.failures) == 9
