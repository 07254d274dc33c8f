"""The exceptions of the package; a message has what was wrong, where, and what to do."""

import difflib
from collections.abc import Iterable


class IsegbenchError(Exception):
    """The base of all errors that this package raises on purpose."""


class UserError(IsegbenchError):
    """A wrong input of a user: a name, a key, a file. The command line exits with 2."""


class DataError(IsegbenchError):
    """One instance cannot be used (unreadable image, mask of another size, empty mask).

    The engine records the failure of this instance and continues.
    """


class MethodError(IsegbenchError):
    """A method broke a rule on one instance (wrong shape, dtype, range, NaN, too slow)."""


class SimulatorError(IsegbenchError):
    """A simulator could not place a click on one instance."""


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like `name`, and all known names, as a hint for an error.

    >>> nearest("grabcot", ["grabcut", "davis"])
    "did you mean 'grabcut'? Known: davis, grabcut"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    listed = f"Known: {', '.join(names)}" if names else "None is known"
    return f"did you mean '{close[0]}'? {listed}" if close else listed
