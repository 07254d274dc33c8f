"""What the whole process shares and a method must not change for others."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def process_state_kept() -> Iterator[None]:
    """Undo afterwards what a method's call did to the process that runs it.

    These are the working directory, the standard streams, the recursion limit, NumPy's handling of
    floating-point errors, and warnings that were made errors. For the thread that calls methods.
    """
    folder = None
    with contextlib.suppress(OSError):
        folder = os.getcwd()
    streams = sys.stdin, sys.stdout, sys.stderr
    depth, filters = sys.getrecursionlimit(), list(warnings.filters)
    try:
        with np.errstate():
            yield
    finally:
        sys.setrecursionlimit(depth)
        sys.stdin, sys.stdout, sys.stderr = streams
        if warnings.filters != filters:
            # A library's own filters, set when it is imported, stay.
            kept = [one for one in warnings.filters if one[0] != "error" or one in filters]
            warnings.resetwarnings()
            warnings.filters[:] = kept  # pyright: ignore[reportIndexIssue]
        if folder is not None:
            with contextlib.suppress(OSError):
                os.chdir(folder)
