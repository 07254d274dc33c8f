"""The outline of a class or function, read from its source, because importing a network is slow.

An outline has the docstring, the signature, `opening`, `paper` and `requires` of the class or
function and of its base classes. Its functions do nothing. It is used in listings and never run.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from typing import Any

from ..errors import UserError
from ..registry import Registry

#: The class attributes that an outline has.
_SHOWN = {"opening", "paper", "requires"}


def outlines(registry: Registry[Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(name, outline) of all registered factories, by name.

    A factory that is imported already is itself in the list. A factory whose source cannot be read
    is imported; it is left out when that fails.
    """
    for name in registry.names():
        try:
            yield name, outline(registry, name)
        except UserError as error:
            registry.leave_out(name, error)


def outline(registry: Registry[Any], name: str) -> Callable[..., Any]:
    """The outline of the factory of that name. Raises UserError for an unknown name."""
    target = registry.target(name)
    if isinstance(target, str):
        module, _, attribute = target.partition(":")
        try:
            return _Module.of(module).value(attribute)
        except Exception:
            # A factory can be imported also when this module cannot read its source.
            return registry.factory(name)
    return target


class _Module:
    """The top level of a module's source; `value` evaluates one name and what it needs."""

    def __init__(self, name: str) -> None:
        spec = importlib.util.find_spec(name)
        source = getattr(spec.loader, "get_source", lambda _: None)(name) if spec else None
        if spec is None or source is None:
            raise ImportError(f"{name} has no source")
        self._package = name if spec.submodule_search_locations else name.rpartition(".")[0]
        self._nodes: dict[str, ast.stmt] = {}
        for node in ast.parse(source).body:
            for bound in _bound(node):
                self._nodes[bound] = node
        self.value = cache(self._value)

    @staticmethod
    @cache
    def of(name: str) -> "_Module":
        return _Module(name)

    def _value(self, name: str, init: bool = True) -> Any:
        """The value of a name of the module. Raises KeyError, or the error of the evaluation.

        init: whether a class needs its `__init__`. A base class does not when a subclass has its
        own, and the types in its signature may be slow to import.
        """
        node = self._nodes[name]
        if isinstance(node, ast.ImportFrom):
            alias = next(a for a in node.names if name in (a.asname, a.name))
            return self._imported("." * node.level + (node.module or ""), alias.name, init)
        if isinstance(node, ast.Import):
            alias = next(a for a in node.names if name in (a.asname, a.name.partition(".")[0]))
            return importlib.import_module(alias.name if alias.asname else name)
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            node = _bare(node, init)
            init = init and not any(isinstance(part, ast.FunctionDef) for part in node.body)
        return self._run(node, init)[name]

    def _imported(self, module: str, name: str, init: bool) -> Any:
        """A name of another module, read from its source if it is in the same package."""
        full = importlib.util.resolve_name(module, self._package)
        same = full.partition(".")[0] == self._package.partition(".")[0]
        if same and full not in sys.modules:
            return _Module.of(full).value(name, init)
        return getattr(importlib.import_module(full), name)

    def _run(self, node: ast.stmt, init: bool) -> dict[str, Any]:
        """The names that a statement of the module binds, and those that it uses."""
        used = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
        used &= self._nodes.keys() - _bound(node)
        names = {name: self.value(name, init) for name in used} | {"__name__": self._package}
        code = ast.fix_missing_locations(ast.Module([node], []))
        exec(compile(code, self._package, "exec"), names)
        return names


def _bound(node: ast.stmt) -> set[str]:
    """The names that a statement binds, if an outline may need them."""
    if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _bare(node: ast.ClassDef | ast.FunctionDef, init: bool) -> ast.ClassDef | ast.FunctionDef:
    """A copy of a class or function with only the parts that an outline has."""
    node = deepcopy(node)
    kept: list[ast.stmt] = [] if ast.get_docstring(node) is None else node.body[:1]
    if isinstance(node, ast.FunctionDef):
        node.returns = None
    else:
        node.keywords = []
        for part in node.body:
            if isinstance(part, ast.FunctionDef) and part.name == "__init__" and init:
                kept.append(_bare(part, init))
            elif isinstance(part, (ast.Assign, ast.AnnAssign)) and part.value is not None:
                named = _bound(part) & _SHOWN
                kept += [ast.Assign([ast.Name(name, ast.Store())], part.value) for name in named]
    node.body = kept or [ast.Pass()]
    node.decorator_list = []
    return node
