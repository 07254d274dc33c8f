"""Loading checkpoints: tensors only, never code, and with readable errors."""

import pickle
import pickletools
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from ...harness.errors import UserError

_PREFIX = "module."
#: How torch names what it will not unpickle, across its versions.
_GLOBAL = re.compile(r"(?:GLOBAL|global:?|class)\s+`?([A-Za-z_]\w*(?:\.\w+)+)")
_SHOWN = 4


@dataclass(frozen=True)
class Fit:
    """The keys that did not correspond when weights were loaded, and that the caller tolerates."""

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def load_checkpoint(path: Path | str, unread: str = "") -> dict[str, Any]:
    """What a checkpoint file holds: a mapping of tensors, or one with such mappings inside.

    Reads torch's formats, allowing tensors and plain values only, and `.safetensors`. Tensors are
    put on the CPU. A `module.` prefix, left by training on several devices, is removed from a
    mapping if all its keys have it. unread: a prefix of names; objects of classes and functions
    with such names become empty placeholders, and nothing of theirs is imported. Raises UserError
    with the reason for a file that is missing, truncated, damaged or not a checkpoint, that holds
    numbers that are not finite or tensors without values, or that holds other pickled code.
    """
    path = Path(path)
    checkpoint = _read(path, unread)
    if not isinstance(checkpoint, Mapping):
        raise UserError(
            f"{path} holds a {type(checkpoint).__name__}; a checkpoint must be a dictionary"
        )
    plain = _without_prefix(checkpoint)
    for key, value in plain.items():
        if isinstance(value, Mapping):
            plain[key] = _without_prefix(value)
    for mapping in (plain, *(v for v in plain.values() if isinstance(v, Mapping))):
        _check_tensors(path, mapping)
    return plain


def state_of(checkpoint: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors by key: those under `state_dict` or `model` if there is such an entry, else all.

    Raises UserError when there is none.
    """
    inner = checkpoint
    for key in ("state_dict", "model"):
        if isinstance(checkpoint.get(key), Mapping):
            inner = checkpoint[key]
            break
    state = {k: v for k, v in inner.items() if isinstance(v, torch.Tensor)}
    if not state:
        raise UserError(f"the checkpoint holds no tensors; its keys: {_some(list(checkpoint))}")
    return state


def load_state(path: Path | str) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint file; errors as in `load_checkpoint` and `state_of`."""
    return state_of(load_checkpoint(path))


def fit(
    module: nn.Module,
    state: Mapping[str, torch.Tensor],
    *,
    what: str = "the checkpoint",
    strict: bool = True,
    allow_missing: Sequence[str] = ("num_batches_tracked",),
    ignore: Sequence[str] = (),
) -> Fit:
    """Copy weights into a module.

    what: how errors call the checkpoint, such as its path. strict: every key must correspond;
    otherwise missing and unexpected ones are tolerated and returned, shapes never.
    allow_missing: last parts of keys that may be missing all the same. ignore: beginnings of keys
    in `state` to skip. Raises UserError with the difference.
    """
    wanted = module.state_dict()
    given = {key: value for key, value in state.items() if not key.startswith(tuple(ignore))}
    missing = [k for k in wanted if k not in given and k.rpartition(".")[2] not in allow_missing]
    unexpected = [key for key in given if key not in wanted]
    shapes = [
        f"{key} is {_size(given[key])}, must be {_size(value)}"
        for key, value in wanted.items()
        if key in given and given[key].shape != value.shape
    ]
    if shapes or (strict and (missing or unexpected)):
        raise UserError(_difference(what, module, wanted, given, missing, unexpected, shapes))
    module.load_state_dict({k: v for k, v in given.items() if k in wanted}, strict=False)
    return Fit(tuple(missing), tuple(unexpected))


class _Unread:
    """A placeholder for an object of a checkpoint that is not used."""

    def __init__(self, *_: Any) -> None:
        return

    def __setstate__(self, state: Any) -> None:
        return


def _read(path: Path, unread: str = "") -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty: the download was probably cut off")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    with path.open("rb") as file:
        head = file.read(512)
    if head.lstrip()[:1] == b"<":
        raise UserError(
            f"{path} is a web page, not a checkpoint: the download link answered with a page; "
            "open it in a browser"
        )
    if head.startswith(b"PK"):
        _check_archive(path)
    try:
        with torch.serialization.safe_globals(_placeholders(path, unread)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises nearly anything on damaged files
        raise UserError(_problem(path, error)) from None


def _placeholders(path: Path, unread: str) -> list[Any]:
    """What torch may put in the place of each unknown name that begins with `unread`."""
    if not unread:
        return []
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(_Unread, name) for name in names if name.startswith(unread)]


def _check_archive(path: Path) -> None:
    """Verify the checksums of a zip archive, which torch does not."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except NotImplementedError as error:
        raise UserError(f"{path} is not a checkpoint as torch writes it ({error})") from None
    except Exception as error:  # zlib's, struct's and zipfile's own on damaged archives
        # The directory of an archive is at its end.
        what = "truncated" if "not a zip file" in str(error) else "damaged"
        raise UserError(
            f"{path} is {what}: its archive cannot be read ({_first_line(error)}). Get it again"
        ) from None
    if damaged is not None:
        raise UserError(
            f"{path} is damaged: the checksum of {damaged} in it does not match. Get it again"
        )


def _problem(path: Path, error: Exception) -> str:
    """The message of the UserError for a file that torch could not load."""
    message = str(error)
    if "torchscript" in message.lower():
        return f"{path} is a TorchScript program, not a checkpoint; it is not run"
    if isinstance(error, pickle.UnpicklingError):
        found = _GLOBAL.search(message)
        name = found[1] if found else _foreign_global(path)
        if name:
            return (
                f"{path} is refused: to load it, {name} would be called, and a checkpoint may "
                "hold tensors and plain values only. Ask its source for a plain state dict"
            )
    if isinstance(error, EOFError) or "unexpected EOF" in message:
        return f"{path} is truncated: it ends too early. Get it again"
    # torch's own text for a bad pickle is advice on settings, not a reason.
    reason = "" if isinstance(error, pickle.UnpicklingError) else f" ({_first_line(error)})"
    return f"{path} cannot be read as a checkpoint: it is damaged, or another kind of file{reason}"


def _foreign_global(path: Path) -> str | None:
    """The first function or class that a plain pickle names; the pickle is read, never run."""
    strings: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name in ("GLOBAL", "INST"):
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL" and len(strings) >= 2:
                    return ".".join(strings[-2:])
                if isinstance(argument, str):
                    strings.append(argument)
    except Exception:  # a damaged pickle has no readable names
        return None
    return None


def _read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is truncated or damaged ({_first_line(error)})") from None


def _without_prefix(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    keys = list(mapping)
    if keys and all(isinstance(key, str) and key.startswith(_PREFIX) for key in keys):
        return {key.removeprefix(_PREFIX): value for key, value in mapping.items()}
    return {str(key): value for key, value in mapping.items()}


def _check_tensors(path: Path, mapping: Mapping[str, Any]) -> None:
    """Raise UserError for a tensor without values, of no plain layout, or that is not finite."""
    for key, value in mapping.items():
        if not isinstance(value, torch.Tensor):
            continue
        if value.is_meta:
            raise UserError(f"{path}: {key} has no values: it was saved on the meta device")
        if value.layout != torch.strided or value.is_quantized:
            raise UserError(f"{path}: {key} is sparse or quantized; only dense tensors are read")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise UserError(f"{path}: {key} claims {value.numel()} values; the file holds fewer")
        if value.is_complex():
            value = torch.view_as_real(value.resolve_conj())
        # A sum in float64 is finite unless a value is not.
        if value.is_floating_point() and not value.sum(dtype=torch.float64).isfinite():
            raise UserError(f"{path} is damaged: {key} holds values that are not finite")


def _difference(
    what: str,
    module: nn.Module,
    wanted: Mapping[str, torch.Tensor],
    given: Mapping[str, torch.Tensor],
    missing: list[str],
    unexpected: list[str],
    shapes: list[str],
) -> str:
    lines = [f"{what} does not fit {type(module).__name__}:"]
    if missing:
        lines.append(f"  {len(missing)} of {len(wanted)} keys missing: {_some(missing)}")
    if unexpected:
        lines.append(f"  {len(unexpected)} unexpected: {_some(unexpected)}")
    if shapes:
        lines.append(f"  {len(shapes)} of another shape: {_some(shapes, '; ')}")
    hint = _hint(wanted, given, missing, unexpected, shapes)
    return "\n".join([*lines, f"  {hint}"] if hint else lines)


def _hint(
    wanted: Mapping[str, torch.Tensor],
    given: Mapping[str, torch.Tensor],
    missing: list[str],
    unexpected: list[str],
    shapes: list[str],
) -> str | None:
    """What the checkpoint probably is instead, or None."""
    if not set(wanted) & set(given):
        return f"It is probably of another architecture; its first parts: {_roots(given)}"
    for stage in ("layer3", "layer1"):
        ours, theirs = _blocks(wanted, stage), _blocks(given, stage)
        if theirs and ours != theirs:
            return f"It is probably of another depth: {stage} has {theirs} blocks, not {ours}"
    if len(missing) + len(unexpected) + len(shapes) > 0.2 * len(wanted):
        return f"It is probably of another architecture; its first parts: {_roots(given)}"
    return None


def _blocks(state: Mapping[str, Any], stage: str) -> int:
    found = (re.search(rf"\b{stage}\.(\d+)\.", key) for key in state)
    return len({match[1] for match in found if match})


def _roots(state: Mapping[str, Any]) -> str:
    return _some(sorted({key.partition(".")[0] for key in state}))


def _some(items: Sequence[Any], separator: str = ", ") -> str:
    more = len(items) - _SHOWN
    shown = separator.join(str(item) for item in items[:_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def _size(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def _first_line(error: Exception | str) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
