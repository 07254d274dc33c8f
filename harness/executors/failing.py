"""When a method is stopped: its first instances all failed alike."""

import re

from ..types import Trace


class Failing:
    """Which methods of a run have failed on their first `first` instances, and on each alike.

    first: 0 stops no method. Only "method-failed" counts: whether a call is too slow, or a worker
    dies, depends on the instance and the machine. Failures are alike where their messages differ
    in nothing but numbers.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        #: By method: how many instances failed so far, and how; None once one did not.
        self._alike: dict[str, tuple[int, str] | None] = {}

    def add(self, trace: Trace) -> bool:
        """Count a finished trace; whether its method is to be stopped."""
        count, kind = self._alike.get(trace.method, (0, "")) or (0, None)
        found = re.sub(r"[0-9.]+", "0", trace.error or "")
        if kind is None or trace.status != "method-failed" or (count and found != kind):
            self._alike[trace.method] = None
            return False
        self._alike[trace.method] = (count + 1, found)
        return count + 1 == self._first
