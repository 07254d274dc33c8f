"""A wrapped method behaves as the method inside it, whatever the method overrides."""

import inspect
from pathlib import Path

import numpy as np

from isegbench.harness.engine.wrapped_method import WrappedMethod
from isegbench.harness.method import Checkpoint, Method, Paper, Session


class Inner(Method):
    """No attribute is a Method's default; every call is recorded."""

    opening = "box"
    threshold = 0.7
    corrections = False
    sees_truth = True
    paper = Paper("Title", "Authors", 2020)
    departures = ("one",)
    requires = ("module", "package")
    weights = Checkpoint("w", Path("w.pth"), "0" * 64)

    def __init__(self):
        self.calls = []

    def begin(self, session):
        self.calls.append(("begin", session))

    def predict(self, sessions):
        self.calls.append(("predict", sessions))
        return ["map"]

    def predict_one(self, session):
        self.calls.append(("predict_one", session))
        return "map"

    def batch_key(self, session):
        self.calls.append(("batch_key", session))
        return "key"


PUBLIC = {name for name in vars(Method) if not name.startswith("_")}


def test_everything_that_a_method_has_is_forwarded():
    """`PUBLIC` grows with `Method`: what is new there must be in `Inner` and be forwarded."""
    inner = Inner()
    wrapped = WrappedMethod(inner)
    session = Session(np.zeros((2, 3, 3), np.uint8), ())
    for name in PUBLIC:
        default, given = getattr(Method, name), getattr(inner, name)
        assert name in vars(Inner), f"add {name} to Inner"
        if not inspect.isfunction(default):
            assert given != default
            assert getattr(wrapped, name) == given, name
            continue
        argument = [session] if name == "predict" else session
        assert getattr(wrapped, name)(argument) == given(argument), name
        assert inner.calls[-1] == inner.calls[-2] == (name, argument), name


def test_a_subclass_overrides_what_it_needs():
    class Twice(WrappedMethod):
        def predict(self, sessions):
            return [*super().predict(sessions), *super().predict(sessions)]

    assert Twice(Inner()).predict([]) == ["map", "map"]
