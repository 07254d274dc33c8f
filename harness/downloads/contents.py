"""What a downloaded file is, by its first bytes: an archive, a checkpoint, or something else."""

import tarfile
import zipfile
from pathlib import Path

from ..errors import UserError

#: How a pickle of protocol 2 to 5 begins: torch's files before its zip format.
_PICKLE = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))
#: What may precede a page's first tag.
_BLANK = b"\xef\xbb\xbf \t\r\n"
#: Authors write MB for 10**6 or 2**20 bytes, rounded.
_SMALLEST, _LARGEST = 0.9e6, 1.1 * 2**20


def check_archive(path: Path) -> None:
    """Raise UserError for what is neither a zip nor a tar archive."""
    if not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        raise UserError(f"this is no zip or tar archive but {_described(path)}")


def check_checkpoint(path: Path, megabytes: float | None = None) -> None:
    """Raise UserError for what is no checkpoint, or of another size than the known one.

    A checkpoint is a whole zip archive or a pickle, as torch writes them, a tar archive, as torch
    once did, or a safetensors file. Nothing is loaded. megabytes: the size that its authors give.
    """
    with path.open("rb") as file:
        head = file.read(512)
    size = path.stat().st_size
    length = int.from_bytes(head[:8], "little")
    safetensors = head[8:9] == b"{" and 0 < length <= size - 8
    _check_zip(path, head)
    torch_file = head.startswith((b"PK", *_PICKLE)) or head[257:262] == b"ustar"
    if not (torch_file or safetensors):
        raise UserError(f"this is no checkpoint but {_described(path)}")
    if megabytes is not None and not _SMALLEST * megabytes <= size <= _LARGEST * megabytes:
        raise UserError(f"this has {size / 1e6:.3g} MB, but the released file {megabytes:g} MB")


def check_no_page(path: Path) -> None:
    """Raise UserError for an empty file, a web page and a truncated zip archive: never weights."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head or head.lstrip(_BLANK)[:1] == b"<":
        raise UserError(f"this is {_described(path)}")
    _check_zip(path, head)


def most_bytes(megabytes: float | None) -> int | None:
    """The size at which a download of a checkpoint of a known size is stopped."""
    return None if megabytes is None else int(_LARGEST * megabytes)


def _check_zip(path: Path, head: bytes) -> None:
    if head.startswith(b"PK") and not zipfile.is_zipfile(path):
        raise UserError("this zip archive is truncated: its directory, at the end, is missing")


def _described(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512).lstrip(_BLANK)
    if not head:
        return "an empty file"
    if head[:1] == b"<":
        return "a web page, perhaps one that asks to log in or to confirm"
    return f"{path.stat().st_size} bytes of something else"
