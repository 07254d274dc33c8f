"""The one place where exceptions of methods, simulators and data sets are caught."""

import signal
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

from ..errors import DataError, IsegbenchError, MethodError, SimulatorError, UserError, cleaned
from ..types import Status

T = TypeVar("T")

#: Characters of a message and of a traceback that are kept.
MESSAGE, TRACEBACK = 4_000, 16_000
#: Seconds between two interruptions of a call that is late and caught the first one.
_AGAIN = 1.0
#: Exceptions behind an exception that a traceback shows.
_CAUSES = 5
_HARNESS = str(Path(__file__).parents[1])


@dataclass(frozen=True)
class Failure:
    """Why an instance failed, in one line.

    It does not refer to the exception, whose frames would keep a whole batch in memory.
    traceback: from the first line outside of the harness on; "" where there is none.
    out_of_memory: a device had too little memory.
    """

    status: Status
    message: str
    traceback: str = ""
    out_of_memory: bool = False


def attempt(call: Callable[[], T], status: Status, seconds: float | None = None) -> T | Failure:
    """What user code returns, or why it failed: nothing that it raises gets out.

    Only a Ctrl-C ends the program: SIGINT that Python's handler turned into a KeyboardInterrupt
    during the call. A KeyboardInterrupt or SystemExit that the code raises itself is its failure.

    status: of a trace that ends here. seconds: the call is interrupted after so long and becomes
    "timed-out". That needs the main thread and SIGALRM; it ends Python code, sleeping and waiting,
    but not C code that does not return to the interpreter, nor a loop that catches BaseException
    every time.
    """
    signals = _Signals(seconds)
    try:
        try:
            signals.watch()
            found = call()
        finally:
            signals.restore()
    except BaseException as error:
        # A second time: the alarm may have come while the first one was under way.
        signals.restore()
        signals.raise_interrupt()
        if signals.timed_out:
            return Failure("timed-out", f"the call was interrupted after {seconds:.3g} s")
        return _failure(status, error)
    signals.raise_interrupt()
    return found


def build(what: str, call: Callable[[], T]) -> T:
    """What user code returns while a run is planned.

    Raises UserError with the message of whatever it raises; an error of the package stays.
    """
    raised: list[IsegbenchError] = []

    def calling() -> T:
        try:
            return call()
        except IsegbenchError as error:
            raised.append(error)
            raise

    found = attempt(calling, "method-failed")
    if not isinstance(found, Failure):
        return found
    if raised:
        raise raised[0]
    raise UserError(f"{what}: {found.message}")


class _Signals:
    """SIGINT and SIGALRM during one call, in the main thread; in other threads nothing."""

    def __init__(self, seconds: float | None) -> None:
        self.timed_out = False
        self._seconds = seconds
        self._interrupted = False
        self._armed = False
        self._before: dict[int, Any] = {}
        self._timer = (0.0, 0.0)
        self._started = 0.0

    def watch(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        handler = signal.getsignal(signal.SIGINT)
        if callable(handler):
            self._before[signal.SIGINT] = handler
            signal.signal(signal.SIGINT, self._interrupt)
        if self._seconds is not None and hasattr(signal, "setitimer"):
            self._before[signal.SIGALRM] = signal.getsignal(signal.SIGALRM)
            self._started = time.monotonic()
            self._armed = True
            signal.signal(signal.SIGALRM, self._alarm)
            self._timer = signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN)

    def restore(self) -> None:
        """As it was before, whatever the call has set; a timer of the program goes on."""
        if self._armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._armed = False
            delay, interval = self._timer
            if delay:
                left = max(delay - (time.monotonic() - self._started), 1e-3)
                signal.signal(signal.SIGALRM, self._before.pop(signal.SIGALRM))
                signal.setitimer(signal.ITIMER_REAL, left, interval)
        for number, handler in self._before.items():
            if handler is not None:
                signal.signal(number, handler)

    def raise_interrupt(self) -> None:
        """Go on with a Ctrl-C, also one that the call has caught."""
        if self._interrupted:
            raise KeyboardInterrupt

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        try:
            self._before[signal.SIGINT](number, frame)
        except KeyboardInterrupt:
            self._interrupted = True
            raise

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self.timed_out = True
            raise _TimeUp


class _TimeUp(BaseException):
    """A call is late. Not an Exception: a method that catches those does not catch this."""


def describe(error: BaseException) -> str:
    """An error in one line; for other errors than the package's own, with the line it came from.

    About MESSAGE characters at most, all of them safe to write (`errors.cleaned`).
    """
    # Properties and methods of the exception are user code too.
    try:
        # `join` makes a plain str of a subclass.
        message = cleaned("".join([str(error)]).replace("\n", " "), MESSAGE)
    except BaseException:
        message = "(its message cannot be read)"
    if isinstance(error, (DataError, MethodError, SimulatorError)):
        return message
    try:
        place = ""
        frame = error.__traceback__
        while frame is not None:
            place = f" ({frame.tb_frame.f_code.co_filename}:{frame.tb_lineno})"
            frame = frame.tb_next
        return f"{cleaned(type(error).__name__, 200)}: {message}{cleaned(place, 1_000)}"
    except BaseException:
        return f"an exception: {message}"


def _failure(status: Status, error: BaseException) -> Failure:
    message = describe(error)
    try:
        return Failure(status, message, _traceback(error), _is_out_of_memory(error, message))
    except BaseException:
        return Failure(status, message)


def _traceback(error: BaseException) -> str:
    """The lines of the user's code that led to an error, and of the errors behind it."""
    parts: list[str] = []
    current: BaseException | None = error
    while current is not None and len(parts) < _CAUSES:
        frames = traceback.extract_tb(current.__traceback__)
        inside = [frame.filename.startswith(_HARNESS) for frame in frames]
        first = inside.index(False) if False in inside else len(frames)
        # Not `format_exception`, which would call the exception's own code.
        lines = "".join(traceback.StackSummary.from_list(frames[first:]).format())
        if lines:
            parts.append(f"{lines}{describe(current)}\n")
        hidden = current.__suppress_context__
        current = current.__cause__ or (None if hidden else current.__context__)
    text = "\nand that led to:\n\n".join(reversed(parts))
    return cleaned(text, TRACEBACK, lines=True)


def _is_out_of_memory(error: BaseException, message: str) -> bool:
    """Whether a device had too little memory, recognised without importing torch."""
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or (isinstance(error, RuntimeError) and "out of memory" in message.lower())
