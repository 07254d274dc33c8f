"""The files that a class comes from: its own, and the local modules that this one imports."""

import ast
import importlib
import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path

_INSTALLED = {"site-packages", "dist-packages"}
_STANDARD = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib")}


def is_installed(file: Path) -> bool:
    """Whether a file is of an installed package or of Python itself."""
    return bool(_INSTALLED & set(file.parts)) or any(file.is_relative_to(at) for at in _STANDARD)


def local_files(file: Path) -> tuple[set[Path], set[str]]:
    """A file and the local modules that it imports, and the installed modules that these import.

    Read from the sources, so that imports within functions count; what is imported under a name
    made at run time does not. Local is all that is neither installed nor Python's or isegbench's.
    """
    importlib.invalidate_caches()
    files, installed = set[Path](), set[str]()
    waiting = [file.resolve()]
    while waiting:
        current = waiting.pop()
        if current in files:
            continue
        files.add(current)
        for name, folders in _imports(current):
            found = _find(name, folders)
            top = name.partition(".")[0]
            if any(is_installed(part) for part in found):
                installed.add(top)
            elif top != "isegbench":
                waiting += found
    return files, installed - sys.stdlib_module_names


def _imports(file: Path) -> Iterator[tuple[str, list[str]]]:
    """The dotted names that a file imports, and the folders in which each is looked for."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    anywhere = [str(file.parent), *sys.path]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, anywhere) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = [str(file.parents[node.level - 1])] if node.level else anywhere
            for alias in node.names:
                parts = [node.module] if node.module else []
                yield ".".join([*parts, alias.name]), base
            if node.level:
                yield "__init__", base


def _find(name: str, folders: list[str]) -> list[Path]:
    """The files of a dotted module, from its outermost package on, as far as there are any."""
    found: list[Path] = []
    for part in name.split("."):
        spec = PathFinder.find_spec(part, folders)
        if spec is None:
            break
        if spec.origin and spec.has_location:
            found.append(Path(spec.origin).resolve())
        folders = list(spec.submodule_search_locations or ())
        if not folders:
            break
    loaded = getattr(sys.modules.get(name), "__file__", None)
    return found or ([Path(loaded).resolve()] if loaded else [])


@cache
def package_of(module: str) -> tuple[str, str]:
    """The installed package that holds a module, and its version, as far as they are known."""
    top = module.partition(".")[0]
    try:
        return top, metadata.version(top)
    except metadata.PackageNotFoundError:
        # `metadata.packages_distributions` parses all of every list of files: ten times slower.
        for package in metadata.distributions():
            files = "\n" + (package.read_text("RECORD") or "")
            if f"\n{top}/" in files or f"\n{top}.py," in files:
                return package.name, package.version
    return top, "of unknown version"
