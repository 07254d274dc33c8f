"""A time limit for the calls of a method."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ...engine.wrapped_method import WrappedMethod
from ...method import Method, Probabilities, Session


class Watched(WrappedMethod):
    """A method with a time limit: `overdue` names the instances of a call that takes too long.

    A call may take `limit` seconds for each of its sessions and `grace` seconds more. If it holds
    the GIL for 2 x grace, so that no other thread can check, SIGALRM ends the process.
    """

    def __init__(self, inner: Method, limit: float, grace: float) -> None:
        super().__init__(inner)
        self._limit, self._grace = limit, grace
        self._lock = threading.Lock()
        self._due: float | None = None
        self._instances: tuple[str, ...] = ()

    def begin(self, session: Session) -> None:
        with self._clock([session]):
            super().begin(session)

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        with self._clock(sessions):
            return super().predict(sessions)

    def overdue(self) -> tuple[str, ...]:
        """The instances of a call that is past its limit; () when there is none."""
        with self._lock:
            late = self._due is not None and time.monotonic() > self._due
            return self._instances if late else ()

    @contextmanager
    def _clock(self, sessions: Sequence[Session]) -> Iterator[None]:
        allowed = self._limit * len(sessions) + self._grace
        with self._lock:
            self._due = time.monotonic() + allowed
            self._instances = tuple(session._instance for session in sessions)
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
