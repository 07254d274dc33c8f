"""Weights: the known checkpoints, their sources, and the file for a name.

The package `methods` registers the released checkpoints with `register`. A user gives a path or a
name. The file for a name was registered by hand (`isegbench weights add`), was downloaded before,
or is downloaded now.
"""

import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError, nearest
from ..files import write_whole
from ..method import Checkpoint
from .cache import cache_dir, downloads_lock
from .contents import check_checkpoint, check_no_page, most_bytes
from .drive import download_from_drive
from .fetch import TIMEOUT, Transfer, fetch, read_lock, sha256_of

_NAME = re.compile(r"[A-Za-z0-9][\w.+-]*")


@dataclass(frozen=True)
class KnownCheckpoint:
    """A released checkpoint.

    name: the name in `weights=NAME`. system: the method it belongs to. trained_on: the data sets of
    its training, with this package's names if they have one. file_name: of its authors; None when
    their page does not give it. url: for a download without a person. drive_id: of a Google Drive
    file. folder_id: of a Google Drive folder that holds it; without a file_name a person must find
    it there. megabytes: its size as its authors give it. licence: as its authors state it; empty
    if it is not recorded here.
    """

    name: str
    system: str
    trained_on: tuple[str, ...]
    file_name: str | None = None
    url: str | None = None
    drive_id: str | None = None
    megabytes: float | None = None
    folder_id: str | None = None
    licence: str = ""

    @property
    def link(self) -> str:
        """The web address of the file for a person."""
        if self.folder_id:
            return f"https://drive.google.com/drive/folders/{self.folder_id}"
        return self.url or f"https://drive.google.com/file/d/{self.drive_id}/view"

    @property
    def stored_name(self) -> str | None:
        """What a download is called here; None where only a person can download it."""
        return self.file_name or (f"{self.name}.pth" if self.drive_id else None)


_known: dict[str, KnownCheckpoint] = {}
#: Copies of the driver's files on a worker's machine, by the name that the user gave.
_worker_copies: dict[str, Checkpoint] = {}


def register(entry: KnownCheckpoint) -> None:
    """Register a checkpoint. Raises UserError for a bad name, a taken name, or without a source."""
    _check_name(entry.name)
    if _known.setdefault(entry.name, entry) != entry:
        raise UserError(f"two checkpoints are called {entry.name!r}")
    if not (entry.drive_id or entry.folder_id or (entry.url and entry.file_name)):
        raise UserError(
            f"checkpoint {entry.name}: needs url and file_name, or drive_id or folder_id"
        )


def known_checkpoints(system: str | None = None) -> list[KnownCheckpoint]:
    """All known checkpoints, or those of one system, by system and name."""
    from ..registry import methods

    methods.names()  # imports the packages that register checkpoints
    chosen = (e for e in _known.values() if system is None or e.system == system)
    return sorted(chosen, key=lambda e: (e.system, e.name))


def weights_dir() -> Path:
    """The folder of downloaded and registered checkpoints."""
    return cache_dir() / "weights"


def resolve(name_or_path: str | Path, system: str) -> Checkpoint:
    """The file for `weights=...` of a method; downloads it if that is needed and possible.

    system: the method's name, to list its checkpoints in errors. A path of a file is used as it is;
    its training data is known only if its sha256 is. Raises UserError for an unknown name, for a
    file that has changed since it was registered, and for a checkpoint that a person must
    download; the last message has the link and the command to register the file.
    """
    text = str(name_or_path)
    if text in _worker_copies:
        return _worker_copies[text]
    path = Path(text).expanduser()
    if path.is_file():
        return _described(path, text)
    if path.is_dir():
        raise UserError(f"weights={text}: is a folder; give the checkpoint file in it")
    record = _read_added().get(text)
    if record is not None and text not in _known:
        return _unchanged(record)
    entry = _entry(text, system)
    if record is not None:
        return _unchanged(record)
    found = find(entry)
    if found is not None:
        return Checkpoint(text, found, _locked_sha256(entry, found), entry.trained_on)
    return download(entry.name)


def register_worker_copy(file: Checkpoint) -> None:
    """Use this file for `file.name` in this process: a worker's copy of the driver's file."""
    _worker_copies[file.name] = file


def at_hand(name: str) -> Path | None:
    """The path on this machine for a user's name or path, or None; downloads nothing."""
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = next((entry for entry in known_checkpoints() if entry.name == name), None)
    if known is not None:
        return find(known)
    record = _read_added().get(name)
    return record.path if record is not None and record.path.is_file() else None


def find(entry: KnownCheckpoint) -> Path | None:
    """The path of a known checkpoint on this machine, or None; no download, no verification."""
    record = _read_added().get(entry.name)
    if record is not None and record.path.is_file():
        return record.path
    downloaded = weights_dir() / entry.stored_name if entry.stored_name else None
    return downloaded if downloaded is not None and downloaded.is_file() else None


def download(name: str) -> Checkpoint:
    """Download a known checkpoint and verify it with the sha256 of its first download.

    Raises UserError when a person must download it, and when the download fails.
    """
    entry = _entry(name, None)
    by_hand = f"download it from {entry.link} and register the copy with: "
    by_hand += f"isegbench weights add {entry.name} FILE"
    if entry.stored_name is None:
        size = f" ({entry.megabytes:g} MB)" if entry.megabytes else ""
        raise UserError(
            f"weights {entry.name}{size} cannot be fetched automatically: only their folder is "
            f"known; {by_hand}"
        )
    path = fetch(
        entry.link,
        entry.stored_name,
        weights_dir(),
        downloads_lock(),
        check=lambda file: check_checkpoint(file, entry.megabytes),
        manual=by_hand,
        transfer=None if entry.url else _from_drive(entry),
        most=most_bytes(entry.megabytes),
    )
    return Checkpoint(entry.name, path, _locked_sha256(entry, path), entry.trained_on)


def _from_drive(entry: KnownCheckpoint) -> Transfer:
    return lambda partial, bar: download_from_drive(
        partial, TIMEOUT, bar.moved, entry.drive_id, entry.folder_id, entry.file_name
    )


def add(name: str, file: Path, trained_on: tuple[str, ...] | None = None) -> Checkpoint:
    """Register a local file under a name: copy it to the cache and record its sha256.

    name: of a known checkpoint, or a new name; a second call replaces the file. trained_on: for a
    new name, the data sets of its training. Raises UserError for a bad name, for a file that cannot
    be read or copied, and for training data that differs from that of a known checkpoint.
    """
    _check_name(name)
    known = next((e for e in known_checkpoints() if e.name == name), None)
    if known is not None and trained_on is not None and trained_on != known.trained_on:
        raise UserError(
            f"{name} is the name of a released checkpoint trained on "
            f"{', '.join(known.trained_on)}; choose another name for one trained on "
            f"{', '.join(trained_on) or 'nothing'}"
        )
    file = Path(file).expanduser()
    if not file.is_file():
        raise UserError(f"{file}: no such file")
    try:
        if known is None:  # a method of one's own may read any format
            check_no_page(file)
        else:
            check_checkpoint(file, known.megabytes)
    except UserError as error:
        raise UserError(f"{file} cannot be registered as {name}: {error}") from error
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}") from error
    folder = weights_dir() / "added"
    copy = folder / f"{name}{''.join(file.suffixes[-1:])}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _copy_whole(file, copy)
        sha256 = sha256_of(copy)
        record: dict[str, Any] = {"file": copy.name, "sha256": sha256}
        if known is None and trained_on is not None:
            record["trained_on"] = list(trained_on)
        write_whole(folder / f"{name}.json", json.dumps(record, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"cannot store {copy}: {error.strerror or error}") from error
    return Checkpoint(name, copy, sha256, known.trained_on if known else trained_on)


def added() -> dict[str, Path]:
    """{name: file} of the checkpoints that were registered by hand."""
    return {record.name: record.path for record in _read_added().values()}


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot name a checkpoint: use letters, digits, '_', '.', '+' and '-'"
        )


def _entry(name: str, system: str | None) -> KnownCheckpoint:
    """The known checkpoint of that name; else UserError with the names of this system."""
    known = {entry.name: entry for entry in known_checkpoints()}
    if name not in known:
        mine = [entry.name for entry in known_checkpoints(system)] + list(_read_added())
        what = f"{system} weights" if system else "weights"
        raise UserError(
            f"{what} {name!r}: no such file, and no checkpoint of that name: {nearest(name, mine)}"
        )
    entry = known[name]
    if system is not None and entry.system != system:
        mine = [entry.name for entry in known_checkpoints(system)]
        raise UserError(
            f"{name} is a checkpoint of {entry.system}, not of {system}. Checkpoints of {system}: "
            f"{', '.join(mine) or 'none'}"
        )
    return entry


def _described(path: Path, name: str) -> Checkpoint:
    """A file given by its path, with the training data of a known file of the same sha256."""
    sha256 = sha256_of(path)
    known = {record.sha256: record.trained_on for record in _read_added().values()}
    locked = read_lock(downloads_lock())
    for entry in known_checkpoints():
        if entry.stored_name in locked:
            known[locked[entry.stored_name]["sha256"]] = entry.trained_on
    return Checkpoint(name, path, sha256, known.get(sha256))


def _unchanged(record: Checkpoint) -> Checkpoint:
    again = f"register it again with: isegbench weights add {record.name} FILE"
    if not record.path.is_file():
        raise UserError(f"weights {record.name}: {record.path} is gone; {again}")
    if sha256_of(record.path) != record.sha256:
        raise UserError(
            f"weights {record.name}: {record.path} has changed since it was registered; {again}"
        )
    return record


def _locked_sha256(entry: KnownCheckpoint, path: Path) -> str:
    """The sha256 of a file. Raises UserError when its first download had another one."""
    sha256 = sha256_of(path)
    locked = read_lock(downloads_lock()).get(path.name)
    if locked is not None and locked["sha256"] != sha256:
        raise UserError(
            f"weights {entry.name}: {path} has sha256 {sha256}, but its first download "
            f"had {locked['sha256']}: delete it and download it again from {entry.link}"
        )
    return sha256


def _read_added() -> dict[str, Checkpoint]:
    """The records of `add`: one JSON file for each name, so that two processes never collide."""
    found = {}
    known = {entry.name: entry.trained_on for entry in known_checkpoints()}
    for path in sorted((weights_dir() / "added").glob("*.json")):
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            file, sha256 = str(record["file"]), str(record["sha256"])
            recorded = record.get("trained_on")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{path} is not a record of weights ({error}): delete it and register the file "
                "again"
            ) from error
        trained_on = known.get(path.stem, None if recorded is None else tuple(recorded))
        found[path.stem] = Checkpoint(path.stem, path.parent / file, sha256, trained_on)
    return found


def _copy_whole(source: Path, target: Path) -> None:
    """Copy, then rename, so that the target is always a whole file."""
    if target.exists() and source.samefile(target):
        return
    handle, partial = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, partial)
        Path(partial).chmod(0o644)  # only the owner can read a file of mkstemp
        os.replace(partial, target)
    finally:
        Path(partial).unlink(missing_ok=True)
