"""Where files are kept: the cache directory and the data root."""

import os
from pathlib import Path

#: Environment variables that name the two directories.
CACHE_VARIABLE = "ISEGBENCH_CACHE"
DATA_VARIABLE = "ISEGBENCH_DATA"


def cache_dir() -> Path:
    """The directory for files that can be fetched again: ISEGBENCH_CACHE, or the system's cache."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser()
    import pooch  # slow to import, and not needed where the variable is set

    return Path(pooch.os_cache("isegbench"))


def data_root(given: Path | None = None) -> Path:
    """The folder that holds the data sets: `given`, else ISEGBENCH_DATA, else CACHE/data."""
    if given is not None:
        return Path(given).expanduser()
    variable = os.environ.get(DATA_VARIABLE)
    return Path(variable).expanduser() if variable else cache_dir() / "data"


def downloads_dir() -> Path:
    """The folder where downloaded archives are kept unchanged."""
    return cache_dir() / "downloads"


def downloads_lock() -> Path:
    """The lock file that holds the sha256 of every downloaded file."""
    return cache_dir() / "downloads.lock.json"
