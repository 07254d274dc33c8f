"""A short description of a value that is the same for equal values, in any process."""

import hashlib
import inspect
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property, partial
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

from ..dataset import Dataset
from ..method import Checkpoint, Method
from ..simulator import Simulator

#: Of a larger array so many elements, evenly spread, are hashed.
_ELEMENTS = 4 * 2**20
#: A longer description is replaced by its sha256.
_CHARACTERS = 400
_DEPTH = 6


class Description:
    """Describes values; `modules` are those of the classes and functions it met."""

    def __init__(self) -> None:
        self.modules: set[str] = set()

    def attributes(self, value: Any) -> dict[str, Any]:
        """The public attributes of an object, and the private ones named as its parameters."""
        return {name: self.short(part) for name, part in _attributes(value)}

    def short(self, value: Any) -> Any:
        """A value as JSON: itself where it is short, else a hash."""
        try:
            described = self._of(value, 0)
            text = json.dumps(described, sort_keys=True)
        except Exception:
            # Somebody's object, whose methods may raise anything.
            return self._type(value)
        return described if len(text) <= _CHARACTERS else _hashed(text.encode())

    def _of(self, value: Any, depth: int) -> Any:
        """Numbers, text, paths (a file by its bytes, else its last name), arrays, tensors,
        networks, containers, dataclasses, and methods, data sets and simulators are described by
        what they hold, anything else by its type."""
        if value is None or (isinstance(value, (bool, int, str)) and not isinstance(value, Enum)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else repr(value)
        if isinstance(value, bytes):
            return _hashed(value)
        if isinstance(value, Enum):
            return str(value)
        if isinstance(value, Path):
            return f"sha256 {sha256_of(value)}" if value.is_file() else value.name
        if isinstance(value, Checkpoint):
            return f"sha256 {value.sha256}"
        if depth > _DEPTH:
            return self._type(value)
        if isinstance(value, (np.ndarray, np.generic)):
            return _array(np.asarray(value))
        if isinstance(value, (list, tuple)):
            return [self._of(part, depth + 1) for part in value]
        if isinstance(value, (set, frozenset)):
            return sorted((self._of(part, depth + 1) for part in value), key=json.dumps)
        if isinstance(value, Mapping):
            return {str(key): self._of(part, depth + 1) for key, part in value.items()}
        if isinstance(value, partial):
            parts = {"of": value.func, "args": value.args, "keywords": value.keywords}
            return self._of(parts, depth + 1)
        if isinstance(value, type):
            return self._name(value)
        if isinstance(value, (FunctionType, MethodType)):
            code = _hashed(repr(compiled(value)).encode())
            return {self._name(value): code}
        return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        if callable(getattr(value, "state_dict", None)):
            state = {str(key): part for key, part in value.state_dict().items()}
            return {self._type(value): self._of(state, depth + 1)}
        if callable(getattr(value, "detach", None)):
            return _tensor(value) or self._type(value)
        if is_dataclass(value) or isinstance(value, (Method, Dataset, Simulator)):
            return {
                self._type(value): {
                    name: self._of(part, depth + 1) for name, part in _attributes(value)
                }
            }
        return self._type(value)

    def _type(self, value: Any) -> str:
        return self._name(type(value))

    def _name(self, named: Any) -> str:
        module = str(getattr(named, "__module__", ""))
        if module.partition(".")[0] != "isegbench":
            self.modules.add(module)
        return str(getattr(named, "__qualname__", named))


def compiled(value: Any) -> Any:
    """The code of a function or of a class's functions, as plain data; constants included."""
    if isinstance(value, CodeType):
        return value.co_code.hex(), value.co_names, [compiled(part) for part in value.co_consts]
    if isinstance(value, (MethodType, classmethod, staticmethod)):
        return compiled(value.__func__)
    if isinstance(value, FunctionType):
        return compiled(value.__code__), compiled(value.__defaults__)
    if isinstance(value, property):
        return compiled(value.fget)
    if isinstance(value, type):
        parts = {name: part for name, part in vars(value).items() if not name.startswith("_abc")}
        left_out = ("__dict__", "__weakref__", "__doc__", "__firstlineno__", "__module__")
        return [(name, compiled(parts[name])) for name in sorted(parts) if name not in left_out]
    if isinstance(value, (frozenset, set)):
        return sorted(map(repr, value))
    if isinstance(value, tuple):
        return [compiled(part) for part in value]
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return repr(value)
    return type(value).__qualname__


def _attributes(value: Any) -> list[tuple[str, Any]]:
    kind = type(value)
    try:
        taken = set(inspect.signature(kind).parameters)
    except (TypeError, ValueError):
        taken = set()
    held = dict(getattr(value, "__dict__", {}))
    held |= {name: getattr(value, name) for name in getattr(kind, "__dataclass_fields__", ())}
    return [
        (name, held[name])
        for name in sorted(held)
        if (not name.startswith("_") or name.lstrip("_") in taken)
        and not isinstance(inspect.getattr_static(kind, name, None), cached_property)
    ]


def _array(array: np.ndarray) -> str:
    if array.dtype.hasobject:
        return f"array {array.dtype} {array.shape}"
    chosen = array.reshape(-1)[:: max(1, array.size // _ELEMENTS)]
    return f"array {array.dtype} {array.shape} {_hashed(np.ascontiguousarray(chosen).tobytes())}"


def _tensor(value: Any) -> str | None:
    try:
        flat = value.detach().reshape(-1)
        chosen = flat[:: max(1, flat.numel() // _ELEMENTS)].cpu()
        # Some of torch's types, such as bfloat16, are none of NumPy's: by bytes.
        data = chosen.contiguous().view(sys.modules["torch"].uint8).numpy().tobytes()
        return f"tensor {value.dtype} {tuple(value.shape)} {_hashed(data)}"
    except Exception:
        return None


def sha256_of(file: Path) -> str:
    """Of a file's bytes; "missing" where it cannot be read."""
    try:
        with open(file, "rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError:
        return "missing"


def _hashed(data: bytes) -> str:
    return f"sha256 {hashlib.sha256(data).hexdigest()}"
