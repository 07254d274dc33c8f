"""Each broken rule of a method is found, and a sound method passes."""

import threading
import warnings

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import isegbench
from isegbench.harness.cli import app
from isegbench.harness.errors import UserError
from isegbench.harness.workflows.check import ADVICE, check


class Sound(isegbench.Method):
    """Nearest click on a grid, with a session's state in its memory."""

    def predict_one(self, session):
        y, x = np.mgrid[: session.shape[0] : 8, : session.shape[1] : 8]
        best = np.full(y.shape, np.inf)
        result = np.zeros(y.shape, np.float32)
        for click in session.clicks:
            distance = (y - click.y) ** 2 + (x - click.x) ** 2
            result[distance < best] = click.kind == "positive"
            best = np.minimum(best, distance)
        session.memory["count"] = session.memory.get("count", 0) + 1
        result *= 1 - 0.01 * session.memory["count"]
        whole = np.repeat(np.repeat(result, 8, 0), 8, 1)
        return whole[: session.shape[0], : session.shape[1]].copy()


class NoDefault(Sound):
    def __init__(self):
        raise RuntimeError("no file")


class UnknownOpening(Sound):
    opening = "clik"  # pyright: ignore[reportAssignmentType]


class NotANumber(Sound):
    threshold = "half"  # pyright: ignore


class HoldsALock(Sound):
    def __init__(self):
        self.lock = threading.Lock()


class Raises(Sound):
    def begin(self, session):
        raise KeyError("edges")


class Halved(Sound):
    def predict_one(self, session):
        return super().predict_one(session)[::2]


class Double(Sound):
    def predict_one(self, session):
        return super().predict_one(session).astype(np.float64)


class Percent(Sound):
    def predict_one(self, session):
        return super().predict_one(session) * 100


class NaN(Sound):
    def predict_one(self, session):
        return super().predict_one(session) * np.float32(np.nan)


class Nothing(Sound):
    def predict(self, sessions):
        return None


class WritesOnTheImage(Sound):
    def predict_one(self, session):
        session.image[0, 0] = 0
        return super().predict_one(session)


class WritesThroughATensor(Sound):
    def predict_one(self, session):
        with warnings.catch_warnings(action="ignore"):
            torch.from_numpy(session.image)[0, 0] ^= 1
        return super().predict_one(session)


class WritesOnThePreviousMap(Sound):
    def predict_one(self, session):
        if session.previous is not None:
            session.previous[:] = 0
        return super().predict_one(session)


class OneBuffer(Sound):
    def __init__(self):
        self.buffers = {}

    def predict_one(self, session):
        buffer = self.buffers.setdefault(session.shape, np.zeros(session.shape, np.float32))
        buffer[:] = super().predict_one(session)
        return buffer


class Chance(Sound):
    def predict_one(self, session):
        noise = np.random.default_rng().random(session.shape, np.float32)
        return super().predict_one(session) * (0.5 + 0.5 * noise)


class CountsSessions(Sound):
    def __init__(self):
        self.sessions = 0

    def begin(self, session):
        self.sessions += 1
        session.memory["number"] = self.sessions

    def predict_one(self, session):
        return super().predict_one(session) / np.float32(session.memory["number"])


class RemembersInItself(Sound):
    """Resets with each session, so that one session after the other is right in any order."""

    def begin(self, session):
        self.calls = 0

    def predict_one(self, session):
        self.calls += 1
        return super().predict_one(session) / np.float32(self.calls)


class UnhashableKey(Sound):
    def batch_key(self, session):
        return list(session.shape)  # pyright: ignore


class SortsItsBatch(Sound):
    def predict(self, sessions):
        maps = [self.predict_one(session) for session in sessions]
        return maps[::-1]


class AddsItsBatch(Sound):
    def predict(self, sessions):
        maps = [self.predict_one(session) for session in sessions]
        return [np.mean(maps, axis=0, dtype=np.float32) for _ in maps]


class OneOfTheBatch(Sound):
    def predict(self, sessions):
        return [self.predict_one(sessions[0])]


class OneKeyForAll(Sound):
    def batch_key(self, session):
        return 0

    def predict(self, sessions):
        images = np.stack([session.image for session in sessions])
        return [self.predict_one(session) for session, _ in zip(sessions, images, strict=True)]


def broken(method) -> set[str]:
    checks = check(method)
    assert [one.name for one in checks] == list(ADVICE)
    for one in checks:
        assert bool(one.found and one.advice) == (one.passed is False)
    return {one.name for one in checks if one.passed is False}


def test_a_sound_method_passes():
    assert all(one.passed for one in check(Sound))
    assert all(one.passed for one in check(Sound()))
    assert all(one.passed for one in check("nearest-click"))
    assert all(one.passed for one in check("ellipse:opening=inside-outside"))


@pytest.mark.parametrize(
    ("method", "rules"),
    [
        (NoDefault, {"builds"}),
        (int, {"builds"}),
        ("geodesic:radios=3", {"builds"}),
        (UnknownOpening, {"opening"}),
        (NotANumber, {"threshold"}),
        (HoldsALock(), {"pickling"}),
        (Raises, {"predicts"}),
        (Halved, {"prediction"}),
        (Double, {"prediction"}),
        (Percent, {"prediction"}),
        (NaN, {"prediction"}),
        (Nothing, {"prediction"}),
        (WritesOnTheImage, {"inputs"}),
        (WritesThroughATensor, {"inputs"}),
        (WritesOnThePreviousMap, {"inputs"}),
        (OneBuffer, {"own output"}),
        (Chance, {"determinism"}),
        (CountsSessions, {"order"}),
        (RemembersInItself, {"memory", "batches"}),
        (UnhashableKey, {"batch_key"}),
        (SortsItsBatch, {"batches"}),
        (AddsItsBatch, {"batches"}),
        (OneOfTheBatch, {"batches"}),
        (OneKeyForAll, {"batches"}),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_each_broken_rule_is_found(method, rules):
    assert broken(method) == rules


def test_the_command_says_what_to_do(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "import numpy as np\n"
        "from isegbench import Method\n\n\n"
        "class Good(Method):\n"
        "    def predict_one(self, session):\n"
        "        return np.ones(session.shape, np.float32)\n\n\n"
        "class Bad(Method):\n"
        "    def predict_one(self, session):\n"
        "        return np.ones(session.shape)\n"
    )
    good = CliRunner().invoke(app, ["check", f"{file}:Good"])
    assert good.exit_code == 0, good.output
    assert "all rules hold" in good.output
    bad = CliRunner().invoke(app, ["check", f"{file}:Bad"])
    assert bad.exit_code == 1
    assert "float64" in bad.output
    assert "1 rule(s) broken" in bad.output
    missing = CliRunner().invoke(app, ["check", f"{file}:Ugly"])
    assert isinstance(missing.exception, UserError)
