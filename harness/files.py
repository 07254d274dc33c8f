"""Write files, or append lines, whole or not at all."""

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
    """Write a file under a temporary name in its folder, then rename it; make missing folders.

    A reader gets the old file or the new one, never a part, also after a crash. Raises UserError
    when the file cannot be written.
    """
    with writing_whole(path) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


@contextmanager
def writing_whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write in pieces; at the end, without an error, it becomes `path`."""
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
    """Append a line to a file; make a missing file. Raises UserError and then appends nothing."""
    left = line.encode("utf-8") + b"\n"
    try:
        with open(path, "ab", buffering=0) as file:
            before = file.tell()
            try:
                while left:
                    left = left[file.write(left) :]
            except OSError:
                # A part of a line would make the next line unreadable.
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
        # Some file systems ignore upper and lower case.
        if not stem or stem.lower() in taken:
            stem = f"{stem or 'dataset'}-{zlib.crc32(name.encode()):08x}"
        taken.add(stem.lower())
        stems[name] = stem
    return stems
