"""This package in Ray's runtime environment, for nodes that do not have it."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import isegbench

#: The file in a package's metadata folder that every kind of installation has.
_METADATA = ("METADATA", "PKG-INFO")


def with_package(environment: dict[str, Any] | None) -> dict[str, Any]:
    """A runtime environment that brings this package besides what `environment` has.

    Ray packs the folder of the package, through its links, and the folder of its metadata: the
    nodes need the entry points to find methods by name. The package's dependencies (torch,
    NumPy, ...) must be on the nodes, or come with `pip` in `environment`.
    """
    given = dict(environment or {})
    files = distribution("isegbench").files or []
    metadata = [str(Path(file.locate()).parent) for file in files if file.name in _METADATA]
    return given | {
        "py_modules": [*given.get("py_modules", []), isegbench.__path__[0], *metadata],
        "excludes": [*given.get("excludes", []), "__pycache__"],
    }
