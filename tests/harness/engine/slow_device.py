"""A device that works in the background, as a GPU does, with what `engine.gpu` uses of it."""

import threading
import time
from contextlib import contextmanager


class SlowDevice:
    """Stands for `torch.cuda`: work queues up and takes time; events tell how far it has come.

    `give(seconds)` queues work. `history` notes, in order, what was recorded, waited for and
    synchronised, with the name of the thread that did.
    """

    def __init__(self) -> None:
        self.free_at = time.perf_counter()
        self.history: list[tuple[str, str]] = []

    def give(self, seconds: float) -> None:
        self.free_at = max(self.free_at, time.perf_counter()) + seconds

    def note(self, what: str) -> None:
        self.history.append((what, threading.current_thread().name))

    def Event(self, enable_timing: bool, blocking: bool) -> "_Event":
        return _Event(self)

    def Stream(self) -> "_Stream":
        return _Stream(self)

    @contextmanager
    def stream(self, stream: "_Stream"):
        self.note("lane entered")
        yield


class _Event:
    def __init__(self, device: SlowDevice) -> None:
        self._device = device
        self._at = 0.0

    def record(self) -> None:
        self._at = max(self._device.free_at, time.perf_counter())

    def query(self) -> bool:
        return time.perf_counter() >= self._at

    def synchronize(self) -> None:
        self._device.note("waited")
        time.sleep(max(0.0, self._at - time.perf_counter()))

    def elapsed_time(self, later: "_Event") -> float:
        return 1000 * (later._at - self._at)


class _Stream:
    def __init__(self, device: SlowDevice) -> None:
        self._device = device

    def synchronize(self) -> None:
        self._device.note("lane emptied")
