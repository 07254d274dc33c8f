"""This package in Ray's runtime environment, for nodes that do not have it."""

from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import isegbench


def with_package(environment: dict[str, Any] | None) -> dict[str, Any]:
    """A runtime environment that brings this package besides what `environment` has.

    Ray packs the folder of the package, through its links, and the folder of its metadata: the
    nodes need the entry points to find methods by name. The package's dependencies (torch,
    NumPy, ...) must be on the nodes, or come with `pip` in `environment`.
    """
    given = dict(environment or {})
    return given | {
        "py_modules": [*given.get("py_modules", []), isegbench.__path__[0], *_metadata_folders()],
        "excludes": [*given.get("excludes", []), "__pycache__"],
    }


def _metadata_folders() -> list[str]:
    """The folder with the entry points of the installed package; an editable install has others."""
    files = [file for found in distributions(name="isegbench") for file in found.files or ()]
    paths = [Path(str(file.locate())) for file in files if file.name == "METADATA"]
    return [str(path.parent) for path in paths if path.is_file()][:1]
