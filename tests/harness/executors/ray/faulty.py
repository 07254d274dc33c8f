"""Methods for tests of faults: a slow one, and one that harms its process."""

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.method import Method


class Steady(Method):
    """Nearest click wins, by brute force, after a sleep; leaves a file for each process.

    marks: a folder that gets a file named as the process's id, or "".
    """

    def __init__(self, seconds: float = 0.0, marks: str = "") -> None:
        self.seconds = seconds
        if marks:
            Path(marks, str(os.getpid())).touch()

    def predict_one(self, session):
        time.sleep(self.seconds)
        y, x = np.mgrid[: session.shape[0], : session.shape[1]]
        best = np.full(session.shape, np.inf)
        result = np.zeros(session.shape, np.float32)
        for click in session.clicks:
            distance = (y - click.y) ** 2 + (x - click.x) ** 2
            result[distance < best] = click.kind == "positive"
            best = np.minimum(best, distance)
        return result


class Harmful(Steady):
    """Harms its process at each of the instances named, joined by "+", every time."""

    def __init__(self, harm: str, at: str) -> None:
        super().__init__()
        self.harm = getattr(self, harm)
        self.at = at.split("+")

    def predict_one(self, session):
        if session.seed in [method_seed(0, session.dataset, name) for name in self.at]:
            self.harm()
        return super().predict_one(session)

    def kill(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def segfault(self):
        ctypes.string_at(0)

    def sleep(self):
        time.sleep(1000)

    def hold(self):
        """Sleep and hold the GIL."""
        ctypes.PyDLL(None).sleep(1000)
