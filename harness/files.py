"""Writing files, and lines at their end, whole or not at all."""

import os
import re
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from .errors import UserError

#: What spreadsheets take for the beginning of a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file under a temporary name beside it, then rename; folders are made.

    A reader sees the old file or the new one, never a part, even after a crash. Raises
    UserError when it cannot be written.
    """
    with writing_whole(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write piece by piece that becomes `path` when all went well, as `write_whole`."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def append_line(path: Path, line: str) -> None:
    """Add a line to a file, made if need be. Raises UserError when it cannot: then none is."""
    left = line.encode("utf-8") + b"\n"
    try:
        with open(path, "ab", buffering=0) as file:
            before = file.tell()
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                # Half a line would make the next one, written once there is room again, unreadable.
                file.truncate(before)
                raise
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def escape_cell(text: str) -> str:
    """A text for a CSV file that no spreadsheet takes for a formula; `read_cell` reverses it.

    Text that begins with = + - @, a tab or a carriage return gets an apostrophe before it, and so
    does text that begins with one.

    >>> escape_cell("=1+1"), escape_cell("nearest-click")
    ("'=1+1", 'nearest-click')
    """
    return f"'{text}" if text.startswith(("'", *_FORMULA)) else text


def read_cell(text: str) -> str:
    """The text that `escape_cell` wrote; other text stays as it is."""
    return text[1:] if text.startswith("'") and text[1:].startswith(("'", *_FORMULA)) else text


def file_names(names: Iterable[str]) -> dict[str, str]:
    """A stem for each name, safe on every file system and different for different names.

    >>> file_names(["grabcut", "folder:my/photos"])
    {'grabcut': 'grabcut', 'folder:my/photos': 'folder-my-photos'}
    """
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.")[:80]
        # Upper and lower case are one file on some systems, so names must differ in more than case.
        if not stem or stem.lower() in taken:
            stem = f"{stem or 'dataset'}-{zlib.crc32(name.encode()):08x}"
        taken.add(stem.lower())
        stems[name] = stem
    return stems
