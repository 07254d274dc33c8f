"""A method of the package that does harm when it is ordered to; workers load it from this file.

An order is a file in a folder, named by a fault and by the seed of the session it shall strike.
All but `doom` strike once: the file goes before the harm is done.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from isegbench.harness import registry
from isegbench.harness.method import Method


class OutOfMemoryError(RuntimeError):
    """Named and raised as torch does it when a GPU's memory is too small."""


class Disturbed(Method):
    """Predicts as `inner` does, a little slower.

    orders: the folder of orders, "" for an undisturbed run; the processes that hold the method
    leave a file of their id in its subfolder `processes`. pause: seconds before a prediction.
    """

    def __init__(self, inner: str, orders: str = "", pause: float = 0.0) -> None:
        self._inner: Method = registry.methods.build(inner)
        self.opening, self.threshold = self._inner.opening, self._inner.threshold
        self._orders = Path(orders) if orders else None
        self._pause = pause
        if self._orders:
            (self._orders / "processes").mkdir(parents=True, exist_ok=True)
            (self._orders / "processes" / str(os.getpid())).touch()

    def begin(self, session):
        self._inner.begin(session)

    def batch_key(self, session):
        return self._inner.batch_key(session)

    def predict(self, sessions):
        time.sleep(self._pause * len(sessions))
        for session in sessions if self._orders else ():
            self._obey(session.seed)
        if self._orders and len(sessions) > 1 and self._taken("memory"):
            raise OutOfMemoryError("CUDA out of memory (so says the script of faults)")
        return self._inner.predict(sessions)

    def _obey(self, seed: int) -> None:
        if self._orders and (self._orders / f"doom-{seed}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if self._taken(f"segfault-{seed}"):
            ctypes.string_at(0)
        if self._taken(f"hang-{seed}"):
            time.sleep(10_000)

    def _taken(self, order: str) -> bool:
        try:
            (self._orders or Path()).joinpath(order).unlink()
        except FileNotFoundError:
            return False
        return True
