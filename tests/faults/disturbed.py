"""A method of the package with faults on request; workers load it from this file.

A request is a file in a folder, named by the fault and by the seed of its session. A fault
happens once, as its file is deleted first; `kill`, whose file stays, happens every time.
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from isegbench.harness import registry
from isegbench.harness.method import Method


class OutOfMemoryError(RuntimeError):
    """An error like torch's when the memory of a GPU is too small."""


class Disturbed(Method):
    """Predicts as `inner` does, a little slower.

    requests: the folder of requests, "" for a run without faults; each process that builds the
    method writes a file named by its id into the subfolder `processes`. pause: seconds before a
    prediction.
    """

    def __init__(self, inner: str, requests: str = "", pause: float = 0.0) -> None:
        self._inner: Method = registry.methods.build(inner)
        self.opening, self.threshold = self._inner.opening, self._inner.threshold
        self._requests = Path(requests) if requests else None
        self._pause = pause
        if self._requests:
            (self._requests / "processes").mkdir(parents=True, exist_ok=True)
            (self._requests / "processes" / str(os.getpid())).touch()

    def begin(self, session):
        self._inner.begin(session)

    def batch_key(self, session):
        return self._inner.batch_key(session)

    def predict(self, sessions):
        time.sleep(self._pause * len(sessions))
        for session in sessions if self._requests else ():
            self._fault(session.seed)
        if self._requests and len(sessions) > 1 and self._taken("memory"):
            raise OutOfMemoryError("CUDA out of memory (a requested fault)")
        return self._inner.predict(sessions)

    def _fault(self, seed: int) -> None:
        if self._requests and (self._requests / f"kill-{seed}").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        if self._taken(f"segfault-{seed}"):
            ctypes.string_at(0)
        if self._taken(f"hang-{seed}"):
            time.sleep(10_000)

    def _taken(self, request: str) -> bool:
        try:
            (self._requests or Path()).joinpath(request).unlink()
        except FileNotFoundError:
            return False
        return True
