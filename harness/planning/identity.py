"""What a method, data set or simulator is made of, so that a run never mixes two of them."""

import hashlib
import os
import sys
from pathlib import Path
from typing import Any

from ..registry import Resolved
from ..store.manifest import Identity
from .describe import Description, compiled, sha256_of
from .source import is_installed, local_files, package_of


def identity_of(found: Resolved[Any], built: Any) -> Identity:
    """Identify what was built from a request.

    The parameters are those of the request; of an object from Python, whose parameters are not
    known, its attributes.
    """
    description = Description()
    if found.made_by is None:
        made_by, parameters = type(built), description.attributes(built)
    else:
        made_by = found.made_by
        parameters = {name: description.short(value) for name, value in found.given.items()}
    name = getattr(made_by, "__qualname__", type(made_by).__qualname__)
    module = getattr(made_by, "__module__", None) or ""
    known: dict[str, Any] = {"parameters": parameters}
    file = _file_of(module)
    if module.partition(".")[0] == "isegbench":
        known |= {"name": f"{module}.{name}", "package": "isegbench"}
    elif file is None:
        code = hashlib.sha256(repr(compiled(made_by)).encode()).hexdigest()
        known |= {"name": name, "code": code}
    elif is_installed(file):
        known |= {"name": f"{module}.{name}", "package": " ".join(package_of(module))}
    else:
        known |= {"name": name}
        description.modules.add(module)
    known |= _sources(description.modules, file.parent if file else Path.cwd())
    return Identity(**known)


def _sources(modules: set[str], folder: Path) -> dict[str, dict[str, str]]:
    """`Identity.files` and `Identity.packages` of local modules. folder: what paths start from."""
    files, installed = set[Path](), set[str]()
    for file in filter(None, map(_file_of, modules)):
        if not is_installed(file):
            more, needed = local_files(file)
            files |= more
            installed |= needed
    return {
        "files": {os.path.relpath(file, folder): sha256_of(file) for file in sorted(files)},
        "packages": dict(package_of(name) for name in sorted(installed)),
    }


def _file_of(module: str) -> Path | None:
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file).resolve() if file and Path(file).is_file() else None
