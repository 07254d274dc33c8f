"""Working beside a GPU: what has been done there so far, and a lane that does not wait for it.

Harmless where no GPU is in use; torch is never imported here.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Mark:
    """A point in the work the GPU has been given; without a GPU in use it has always passed."""

    def __init__(self) -> None:
        cuda = _cuda_in_use()
        self._event = cuda.Event(enable_timing=True, blocking=True) if cuda else None
        if self._event is not None:
            self._event.record()

    def passed(self) -> bool:
        """Whether the GPU has got so far."""
        return self._event is None or self._event.query()

    def wait(self) -> None:
        """Wait until it has; other threads go on."""
        if self._event is not None:
            self._event.synchronize()

    def seconds_since(self, earlier: "Mark") -> float:
        """The GPU's seconds between two marks, both passed; 0.0 without a GPU."""
        if self._event is None or earlier._event is None:
            return 0.0
        return earlier._event.elapsed_time(self._event) / 1000


@contextmanager
def own_lane() -> Iterator[None]:
    """What this thread gives the GPU does not queue behind what other threads have given it.

    The lane is empty again at the end. What is used in it must have been finished elsewhere: wait
    for a `Mark` first.
    """
    cuda = _cuda_in_use()
    if cuda is None:
        yield
        return
    if not hasattr(_lanes, "stream"):
        _lanes.stream = cuda.Stream()
    with cuda.stream(_lanes.stream):
        yield
        _lanes.stream.synchronize()


_lanes = threading.local()


def _cuda_in_use() -> Any:
    """torch.cuda where this process has used a GPU, else None."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
