"""Seconds per click (SPC) of one interactive user, as a run's timing pass has left them."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..errors import UserError

FILE = "timing.parquet"
#: seconds: of begin and predict, per click; NaN for clicks before the first prediction.
TIMING = ("method", "dataset", "instance", "click", "seconds", "device", "measured")


def read_timing(directory: Path) -> pd.DataFrame:
    """DIR/timing.parquet, columns TIMING; empty without one. Raises UserError if unreadable."""
    path = Path(directory) / FILE
    if not path.exists():
        kinds = {"click": "int64", "seconds": "float64"}
        return pd.DataFrame({name: pd.Series(dtype=kinds.get(name, "str")) for name in TIMING})
    try:
        return pd.read_parquet(path, columns=list(TIMING))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a timing pass: {error}; delete it") from error


def seconds_per_click(timing: pd.DataFrame) -> float:
    """SPC: all seconds of rows of `TIMING` divided by all clicks, those of openings included.

    >>> seconds_per_click(pd.DataFrame({"seconds": [np.nan, np.nan, 0.9, 0.3]}))
    0.3
    """
    return float(np.nansum(timing["seconds"]) / len(timing)) if len(timing) else float("nan")
