"""Unpacking archives: nothing outside the destination, and never half of it."""

import gzip
import lzma
import os
import posixpath
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ..dataset import Archive
from ..errors import UserError
from .contents import check_archive
from .fetch import fetch, remove_abandoned

#: What macOS adds to zip files beside the real ones.
_NOT_DATA = "__MACOSX"
#: What an archive may hold: members, and bytes once unpacked.
MAX_MEMBERS = 2_000_000
MAX_BYTES = 200 * 2**30
#: How many times its own size an archive may unpack to, once that is more than _HARMLESS bytes.
MAX_RATIO = 200
_HARMLESS = 2**27
_LONGEST_LINK = 4096
#: Links in a row, as Linux follows them.
_MOST_LINKS = 40


def install(archive: Archive, data_root: Path, downloads: Path, lock: Path) -> Path:
    """Fetch and unpack a data set's archive; ROOT/archive.folder, which then holds all it must.

    downloads, lock: where `fetch` keeps the archive and its hash. A folder that is there and
    complete is left alone. Raises UserError when one is there that is not, and as `fetch` and
    `unpack` do.
    """
    folder = Path(data_root) / archive.folder
    listed = ", ".join(archive.contains)
    if folder.exists():
        missing = [name for name in archive.contains if not (folder / name).exists()]
        if missing:
            raise UserError(
                f"{folder} exists but lacks {', '.join(missing)}: move it away, or complete it "
                f"from {archive.url}"
            )
        return folder
    manual = f"unpack it yourself so that {folder} holds {listed}"
    file = fetch(
        archive.url,
        archive.file_name,
        downloads,
        lock,
        known_hash=archive.known_hash,
        check=check_archive,
        manual=manual,
    )
    with _partial(folder) as partial:
        _unpack_into(file, partial)
        found = _folder_with(partial, archive.contains)
        if found is None:
            raise UserError(f"{file} holds no folder with {listed}; {manual}")
        _move(found, folder)
    return folder


def unpack(archive: Path, destination: Path) -> None:
    """Unpack a zip or tar file as the new folder `destination`.

    Everything is written beside it and renamed at the end, so that an interruption leaves no
    `destination`. Refused, before anything is written: absolute paths, `..`, devices, and links
    that lead out of the archive, members without a name, and more than MAX_MEMBERS, MAX_BYTES or
    MAX_RATIO. Links within it become copies. Two members of one name are refused. Raises UserError.
    """
    if destination.exists():
        raise UserError(f"{destination} is already there: move it away to unpack {archive} anew")
    with _partial(destination) as partial:
        _unpack_into(archive, partial)
        _move(partial, destination)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive. name: normalised, relative. link: the name it stands for.
    size: in bytes, once unpacked."""

    name: str
    size: int = 0
    folder: bool = False
    link: str | None = None
    open: Callable[[], IO[bytes] | None] = lambda: None


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A new folder beside `target` to work in, removed at the end."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(target)
        partial = Path(
            tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        )
    except OSError as error:
        raise UserError(f"cannot write beside {target}: {error.strerror or error}") from error
    try:
        partial.chmod(0o755)  # mkdtemp gives the owner alone access
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _move(folder: Path, target: Path) -> None:
    try:
        os.rename(folder, target)
    except OSError as error:
        raise UserError(f"cannot create {target}: {error.strerror or error}") from error


#: What the standard library raises on truncated or damaged archives.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
    ValueError,
    struct.error,
)


class _Budget:
    """Counts what an archive unpacks to. Raises UserError when it becomes too much."""

    def __init__(self, archive: Path) -> None:
        self._archive, self._packed = archive, archive.stat().st_size
        self._members = self._bytes = 0

    def add(self, size: int) -> None:
        """Count one member, or a copy of one, of so many bytes."""
        self._members += 1
        self._bytes += max(size, 0)
        if self._members > MAX_MEMBERS:
            raise UserError(f"{self._archive} holds more than {MAX_MEMBERS} files: refused")
        if self._bytes > min(MAX_BYTES, max(MAX_RATIO * self._packed, _HARMLESS)):
            raise UserError(
                f"{self._archive} has {self._packed} bytes and would unpack to more than "
                f"{self._bytes - 1}: refused"
            )


def _unpack_into(archive: Path, folder: Path) -> None:
    try:
        budget = _Budget(archive)
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                for info in file.infolist():
                    budget.add(info.file_size)
                members = [_zip_member(archive, file, info) for info in file.infolist()]
                _write([member for member in members if member], folder, budget)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                members = []
                for info in file:
                    budget.add(info.size)
                    members.append(_tar_member(archive, file, info))
                _read_on(file, budget)
                _write(members, folder, budget)
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged ({error}): delete it and run again") from error
    except OSError as error:
        raise UserError(f"cannot unpack {archive}: {error}") from error


def _read_on(file: tarfile.TarFile, budget: _Budget) -> None:
    """Read what follows the last member: only at its end does gzip compare its checksum."""
    source: Any = file.fileobj
    while rest := source.read(1 << 20):
        budget.add(len(rest))


def _zip_member(archive: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member | None:
    # orig_filename: `filename` has already lost what follows a NUL.
    name = _inside(archive, info.orig_filename)
    _check_name(archive, name, info.orig_filename.endswith("/"))
    mode = info.external_attr >> 16
    if name.split("/")[0] == _NOT_DATA:
        return None
    if stat.S_ISLNK(mode):
        if info.file_size > _LONGEST_LINK:
            raise UserError(f"{archive} holds a link of {info.file_size} bytes: refused")
        target = os.fsdecode(file.read(info))
        return _Member(name, link=_inside(archive, target, posixpath.dirname(name)))
    return _Member(name, info.file_size, info.is_dir(), open=lambda: file.open(info))


def _tar_member(archive: Path, file: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    name = _inside(archive, info.name)
    _check_name(archive, name, info.isdir())
    if info.issym():
        return _Member(name, link=_inside(archive, info.linkname, posixpath.dirname(name)))
    if info.islnk():
        return _Member(name, link=_inside(archive, info.linkname))
    if not (info.isfile() or info.isdir()):
        raise UserError(f"{archive} holds a device or pipe, {info.name!r}: refused")
    return _Member(name, info.size, info.isdir(), open=lambda: file.extractfile(info))


def _check_name(archive: Path, name: str, folder: bool) -> None:
    if name == "." and not folder:
        raise UserError(f"{archive} holds a member without a name: refused")


def _inside(archive: Path, name: str, base: str = "") -> str:
    """`name` (of a link: seen from `base`) as a clean path within the archive, or UserError."""
    unsafe = name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":"
    clean = posixpath.normpath(posixpath.join(base, name))
    if unsafe or clean == ".." or clean.startswith("../") or (not base and ".." in name.split("/")):
        raise UserError(f"{archive} would write or link outside its folder, {name!r}: refused")
    return clean


def _write(members: list[_Member], folder: Path, budget: _Budget) -> None:
    """Write all members under `folder`; links last, as copies of the files they stand for."""
    files = {m.name: m.size for m in members if not m.folder and m.link is None}
    links = {member.name: member.link for member in members if member.link is not None}
    for member in members:
        path = folder / member.name
        if member.folder:
            path.mkdir(parents=True, exist_ok=True)
        elif member.link is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            source: Any = member.open()
            with source, _create(path) as copy:
                shutil.copyfileobj(source, copy)
    for name, target in links.items():
        for _ in range(_MOST_LINKS):  # a link may stand for a link
            target = links.get(target, target)
        if target not in files:
            raise UserError(f"the archive links {name!r} to {target!r}, which is no file in it")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        budget.add(files[target])
        with open(folder / target, "rb") as source, _create(path) as copy:
            shutil.copyfileobj(source, copy)


def _create(path: Path) -> IO[bytes]:
    """A new file. Raises UserError when there is one: upper and lower case may be one name."""
    try:
        return path.open("xb")
    except FileExistsError:
        raise UserError(f"the archive holds two files that become {path.name!r}: refused") from None


def _folder_with(root: Path, contains: tuple[str, ...]) -> Path | None:
    """The shallowest folder at or under `root` that holds all of `contains`."""
    level = [root]
    while level:
        for folder in level:
            if all((folder / name).exists() for name in contains):
                return folder
        level = [sub for folder in level for sub in sorted(folder.iterdir()) if sub.is_dir()]
    return None
