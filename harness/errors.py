"""The package's own exceptions: what was wrong, where, and what to do about it."""

import difflib
from collections.abc import Iterable


class IsegbenchError(Exception):
    """Base of every error this package raises on purpose."""


class UserError(IsegbenchError):
    """Something a user gave is wrong: a name, a key, a file. The command line exits with 2."""


class DataError(IsegbenchError):
    """One instance cannot be used (unreadable image, mask of another size, empty mask).

    It costs that instance only: the engine records it and goes on.
    """


class MethodError(IsegbenchError):
    """A method broke its contract on one instance (wrong shape, dtype, range, NaN, too slow)."""


class SimulatorError(IsegbenchError):
    """A simulator could not place a click on one instance."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, and list what there is.

    >>> nearest("grabcot", ["grabcut", "davis"])
    "did you mean 'grabcut'? Known: davis, grabcut"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = f"Known: {', '.join(names)}" if names else "None is known"
    return f"did you mean '{close[0]}'? {listed}" if close else listed
