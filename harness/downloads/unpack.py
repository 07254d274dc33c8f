"""Unpacking archives: nothing outside the destination, and never half of it."""

import gzip
import lzma
import os
import posixpath
import shutil
import stat
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
from .fetch import fetch, remove_abandoned

#: What macOS adds to zip files beside the real ones.
_NOT_DATA = "__MACOSX"


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
        check=_check_archive,
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
    that lead out of the archive. Links within it become copies. Raises UserError.
    """
    if destination.exists():
        raise UserError(f"{destination} is already there: move it away to unpack {archive} anew")
    with _partial(destination) as partial:
        _unpack_into(archive, partial)
        _move(partial, destination)


@dataclass(frozen=True)
class _Member:
    """One entry of an archive. name: normalised, relative. link: the name it stands for."""

    name: str
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


def _check_archive(path: Path) -> None:
    if not (zipfile.is_zipfile(path) or tarfile.is_tarfile(path)):
        raise UserError(
            f"the download is not a zip or tar archive but {path.stat().st_size} bytes of "
            "something else, perhaps a login page"
        )


#: What the standard library raises on truncated or damaged archives.
_DAMAGE = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    RuntimeError,
)


def _unpack_into(archive: Path, folder: Path) -> None:
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                members = [_zip_member(archive, file, info) for info in file.infolist()]
                _write([member for member in members if member], folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                members = [_tar_member(archive, file, info) for info in file]
                _read_on(file)
                _write(members, folder)
        else:
            raise UserError(f"{archive} is neither a zip nor a tar archive")
    except _DAMAGE as error:
        raise UserError(f"{archive} is damaged ({error}): delete it and run again") from error
    except OSError as error:
        raise UserError(f"cannot unpack {archive}: {error}") from error


def _read_on(file: tarfile.TarFile) -> None:
    """Read what follows the last member: only at its end does gzip compare its checksum."""
    source: Any = file.fileobj
    while source.read(1 << 20):
        pass


def _zip_member(archive: Path, file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member | None:
    # orig_filename: `filename` has already lost what follows a NUL.
    name = _inside(archive, info.orig_filename)
    mode = info.external_attr >> 16
    if name.split("/")[0] == _NOT_DATA:
        return None
    if stat.S_ISLNK(mode):
        target = os.fsdecode(file.read(info))
        return _Member(name, link=_inside(archive, target, posixpath.dirname(name)))
    return _Member(name, folder=info.is_dir(), open=lambda: file.open(info))


def _tar_member(archive: Path, file: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    name = _inside(archive, info.name)
    if info.issym():
        return _Member(name, link=_inside(archive, info.linkname, posixpath.dirname(name)))
    if info.islnk():
        return _Member(name, link=_inside(archive, info.linkname))
    if not (info.isfile() or info.isdir()):
        raise UserError(f"{archive} holds a device or pipe, {info.name!r}: refused")
    return _Member(name, folder=info.isdir(), open=lambda: file.extractfile(info))


def _inside(archive: Path, name: str, base: str = "") -> str:
    """`name` (of a link: seen from `base`) as a clean path within the archive, or UserError."""
    unsafe = name.startswith("/") or "\\" in name or "\0" in name or name[1:2] == ":"
    clean = posixpath.normpath(posixpath.join(base, name))
    if unsafe or clean == ".." or clean.startswith("../") or (not base and ".." in name.split("/")):
        raise UserError(f"{archive} would write or link outside its folder, {name!r}: refused")
    return clean


def _write(members: list[_Member], folder: Path) -> None:
    """Write all members under `folder`; links last, as copies of the files they stand for."""
    files = {member.name for member in members if not member.folder and member.link is None}
    links = {member.name: member.link for member in members if member.link is not None}
    for member in members:
        path = folder / member.name
        if member.folder:
            path.mkdir(parents=True, exist_ok=True)
        elif member.link is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            source: Any = member.open()
            with source, path.open("wb") as copy:
                shutil.copyfileobj(source, copy)
    for name, target in links.items():
        for _ in links:  # a link may stand for a link
            target = links.get(target, target)
        if target not in files:
            raise UserError(f"the archive links {name!r} to {target!r}, which is no file in it")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / target, path)


def _folder_with(root: Path, contains: tuple[str, ...]) -> Path | None:
    """The shallowest folder at or under `root` that holds all of `contains`."""
    level = [root]
    while level:
        for folder in level:
            if all((folder / name).exists() for name in contains):
                return folder
        level = [sub for folder in level for sub in sorted(folder.iterdir()) if sub.is_dir()]
    return None
