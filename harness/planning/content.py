"""A fingerprint of what a data set's images and masks hold."""

import hashlib
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..store.manifest import Content
from ..types import Decoder, InstanceRef
from .describe import Description

#: Up to so many bytes of files are read and hashed when a run starts.
HASHED_BYTES = 64 * 2**20


def content_of(refs: Sequence[InstanceRef]) -> Content:
    """The fingerprint of all instances of a data set, in order; where its files lie is left out.

    All bytes are hashed where the files have at most HASHED_BYTES together, else each file's size
    and time of modification. A file that is missing counts as such.
    """
    paths = {
        data: _status(data)
        for ref in refs
        for data in (ref.image.data, ref.mask.data)
        if isinstance(data, Path)
    }
    size = sum(status.st_size for status in paths.values() if status)
    whole = size <= HASHED_BYTES
    held = {path: _held(path, status, whole) for path, status in paths.items()}
    total = hashlib.sha256()
    for ref in refs:
        total.update(ref.name.encode("utf-8", "surrogatepass"))
        for data, decode in ((ref.image.data, ref.decode_image), (ref.mask.data, ref.decode_mask)):
            total.update(held[data] if isinstance(data, Path) else hashlib.sha256(data).digest())
            total.update(_decoder(decode))
    return Content(
        compared="sha256" if whole else "size and mtime",
        files=len(paths),
        bytes=size,
        fingerprint=total.hexdigest(),
    )


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None


def _held(path: Path, status: os.stat_result | None, whole: bool) -> bytes:
    if status is None:
        return b"missing"
    if not whole:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b"unreadable"


def _decoder(decode: Decoder) -> bytes:
    """The name of a decoder and what is bound to it; its code is of the data set's own file."""
    if isinstance(decode, partial):
        bound = Description().short((decode.args, decode.keywords))
        return f"{getattr(decode.func, '__qualname__', '')} {bound}".encode()
    return getattr(decode, "__qualname__", type(decode).__qualname__).encode()
