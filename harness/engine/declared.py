"""What a method declares, read once."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import UserError
from ..method import Method
from ..types import Opening


@dataclass(frozen=True)
class Declared:
    """The attributes of a method that the engine goes by, for the whole run."""

    opening: Opening
    threshold: float
    corrections: bool
    sees_truth: bool

    @classmethod
    def of(cls, method: Method) -> "Declared":
        """Raises UserError for a threshold that is no number and for flags that are not bool."""
        return cls(
            method.opening,
            _number(method.threshold),
            _flag("corrections", method.corrections),
            _flag("sees_truth", method.sees_truth),
        )


def _number(value: Any) -> float:
    if not isinstance(value, (str, bytes, bool, np.bool_)) and np.ndim(value) == 0:
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise UserError(f"threshold must be a number such as 0.5; it is {value!r}")


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise UserError(f"{name} must be True or False; it is {value!r}")
    return bool(value)
