"""A time limit for the calls of a method."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...method import Method, Probabilities, Session


class Watched(Method):
    """A method with a time limit: `overdue` names the sessions of a call that takes too long.

    A call may take `limit` seconds for each of its sessions and `grace` seconds more. If it holds
    the GIL for 2 x grace, so that no other thread can check, SIGALRM ends the process.
    """

    def __init__(self, method: Method, limit: float, grace: float) -> None:
        self.opening, self.threshold = method.opening, method.threshold
        self.corrections = method.corrections
        self.sees_truth = method.sees_truth  # pyright: ignore[reportAttributeAccessIssue]
        self._method = method
        self._limit, self._grace = limit, grace
        self._lock = threading.Lock()
        self._due: float | None = None
        self._seeds: tuple[int, ...] = ()

    def begin(self, session: Session) -> None:
        with self._clock([session]):
            self._method.begin(session)

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        with self._clock(sessions):
            return self._method.predict(sessions)

    def batch_key(self, session: Session):
        return self._method.batch_key(session)

    def overdue(self) -> tuple[int, ...]:
        """The seeds of the sessions in a call that is past its limit; () when there is none."""
        with self._lock:
            late = self._due is not None and time.monotonic() > self._due
            return self._seeds if late else ()

    @contextmanager
    def _clock(self, sessions: Sequence[Session]) -> Iterator[None]:
        allowed = self._limit * len(sessions) + self._grace
        with self._lock:
            self._due = time.monotonic() + allowed
            self._seeds = tuple(session.seed for session in sessions)
        _kernel_alarm(allowed + self._grace)
        try:
            yield
        finally:
            _kernel_alarm(0)
            with self._lock:
                self._due = None


def _kernel_alarm(seconds: float) -> None:
    """End this process after so many seconds by a signal, which needs no GIL; 0: cancel that."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)
