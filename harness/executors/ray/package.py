"""This package as Ray's runtime environment carries it to nodes that do not have it."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import isegbench

from ...errors import UserError

_METADATA = ("METADATA", "entry_points.txt")


@contextmanager
def carrying_package(environment: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A runtime environment that brings this package besides what `environment` has.

    A copy of the installed package, with the record of its entry points so that names are found
    on the nodes too, lies in a temporary folder while the context lasts. What the package needs
    (torch, NumPy, ...) must be on the nodes, or come with `pip` in `environment`. Raises UserError
    when the package cannot be copied.
    """
    given = dict(environment or {})
    with tempfile.TemporaryDirectory(prefix="isegbench-package-") as folder:
        try:
            modules = [str(path) for path in _copy(Path(folder))]
        except OSError as error:
            raise UserError(f"--ship-package: cannot copy isegbench: {error}") from error
        yield given | {"py_modules": [*given.get("py_modules", []), *modules]}


def _copy(folder: Path) -> list[Path]:
    """The package and its metadata in `folder`; Ray adds the folder above each to the path."""
    package = folder / "isegbench"
    shutil.copytree(isegbench.__path__[0], package, ignore=shutil.ignore_patterns("__pycache__"))
    try:
        installed = distribution("isegbench")
    except PackageNotFoundError:
        return [package]
    metadata = folder / f"isegbench-{installed.version}.dist-info"
    metadata.mkdir()
    for name in _METADATA:
        if text := installed.read_text(name):
            (metadata / name).write_text(text, encoding="utf-8")
    return [package, metadata]
