"""The exceptions of the package; a message has what was wrong, where, and what to do."""

import difflib
import re
from collections.abc import Iterable

#: Control characters, line separators of Unicode, marks that change the direction of writing, lone
#: surrogates and what XML forbids: none may stand in a line of JSON, a terminal or an SVG.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


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


def cleaned(text: str, most: int | None = None, lines: bool = False) -> str:
    r"""Text that files and terminals can hold: what they cannot is written as an escape.

    most: characters that are kept, of the beginning and of the end. lines: keep line ends and tabs.

    >>> cleaned("no such\nfile \udcff")
    'no such\\nfile \\udcff'
    """
    length = len(text)
    if most is not None and length > most:
        head, tail = most // 2, most - most // 2
        left_out = f" ... {length - most} characters left out ... "
        text = text[:head] + left_out + text[length - tail :]
    return _UNSAFE.sub(lambda found: _escaped(found[0], lines), text)


def _escaped(character: str, lines: bool) -> str:
    if lines and character in "\n\t":
        return character
    return character.encode("unicode_escape").decode("ascii")
