"""Downloading: a file is stored whole and verified, or not at all.

No checksum is published for most of what is fetched here, so the sha256 of a first download is
recorded in a lock file, and every later copy must have it.
"""

import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from ..errors import UserError

#: Seconds without a byte from the server after which the download fails.
TIMEOUT = 60
#: Bytes after which a download is stopped: with an announced length, and without one.
MAX_BYTES = 200 * 2**30
MAX_UNANNOUNCED = 4 * 2**30
#: Seconds after which the files of an interrupted process are deleted.
_ABANDONED = 3600.0
_CHUNK = 1 << 20

#: Fills a file, and reports to a progress bar.
Transfer = Callable[[Path, "_Bar"], None]


def fetch(
    url: str,
    file_name: str,
    directory: Path,
    lock: Path,
    *,
    known_hash: str | None = None,
    check: Callable[[Path], None] | None = None,
    manual: str = "",
    transfer: Transfer | None = None,
    most: int | None = None,
) -> Path:
    """The file at `url` as DIRECTORY/file_name; downloaded with a progress bar if not there yet.

    lock: the JSON file that records each file's sha256 when it is first seen and is enforced from
    then on, also for a file that was put there by hand. known_hash: "algorithm:hex" to verify
    beside it. check: called with the path of a new file before it is accepted, and raises
    UserError if it is not what it should be. manual: another way to get there, added to the
    message when the network fails. transfer: fills a file in place of an http(s) download of
    `url`. most: the number of bytes at which the download is stopped, where that is known.

    An interrupted download leaves no DIRECTORY/file_name, and a further call starts again.
    Raises UserError when the download fails, a hash differs, or the disk cannot be written.
    """
    target = Path(directory) / file_name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            _verify(target, target, url, known_hash, lock)
            return target
        remove_abandoned(target)
        handle, name = tempfile.mkstemp(prefix=f".{file_name}.", suffix=".part", dir=directory)
        os.close(handle)
        partial = Path(name)
        try:
            _download(url, partial, target, manual, transfer or functools.partial(_http, url), most)
            if check is not None:
                _check(check, partial, url, target, manual)
            _verify(partial, target, url, known_hash, lock)
            partial.chmod(0o644)  # mkstemp gives the owner alone access
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot store {target}: {error.strerror or error}") from error
    return target


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    return _hash(path, "sha256")


def remove_abandoned(target: Path) -> None:
    """Delete partial copies of `target` that a killed process left beside it long ago."""
    for left in target.parent.glob(f".{target.name}.*.part"):
        try:
            if time.time() - left.stat().st_mtime < _ABANDONED:
                continue  # another process may still be writing it
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue


def _check(
    check: Callable[[Path], None], partial: Path, url: str, target: Path, manual: str
) -> None:
    try:
        check(partial)
    except UserError as error:
        raise UserError(
            f"{target.name} was not received: {error} ({url}). {_by_hand(target, manual)}"
        ) from error


def _by_hand(target: Path, manual: str) -> str:
    otherwise = f"Download it by hand and put it at {target}, then run the command again"
    return f"{otherwise}; or {manual}" if manual else otherwise


def _download(
    url: str, partial: Path, target: Path, manual: str, transfer: Transfer, most: int | None
) -> None:
    """Fill `partial` from `url`. Raises UserError with the address and the way by hand."""
    import requests
    import urllib3

    with _Bar(target.name, partial, most) as bar:
        try:
            transfer(partial, bar)
        except UserError as error:
            raise UserError(f"{error} ({url}). {_by_hand(target, manual)}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            raise UserError(f"{network_problem(error, url)}. {_by_hand(target, manual)}") from error
    size = partial.stat().st_size
    if bar.total and size != bar.total:
        raise UserError(
            f"the transfer broke off after {size} of {bar.total} bytes of {url}. Run the command "
            f"again. {_by_hand(target, manual)}"
        )


def _http(url: str, partial: Path, bar: "_Bar") -> None:
    import pooch

    if not url.lower().startswith(("http://", "https://")):
        raise UserError("this is not an http(s) address")
    downloader = pooch.HTTPDownloader(
        progressbar=cast(Any, bar),  # pooch takes any object with these members
        chunk_size=_CHUNK,
        timeout=TIMEOUT,
        # Compressed in transit, a file would be longer than its announced length.
        headers={"Accept-Encoding": "identity"},
    )
    downloader(url, str(partial), None)


def network_problem(error: Exception, url: str) -> str:
    """What went wrong between here and a server, the cause first."""
    import requests
    import urllib3

    host = urlsplit(url).hostname or url
    if isinstance(error, requests.HTTPError):
        return f"the server refused: {error}"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"the proxy does not answer or refuses: cannot reach {host} ({url}): {error}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate of {host} is not trusted ({url}): {error}"
    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer: {host} sent nothing for {TIMEOUT} seconds ({url})"
    cause = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(cause, urllib3.exceptions.NameResolutionError):
        return f"no network: cannot resolve {host} ({url})"
    if isinstance(cause, urllib3.exceptions.NewConnectionError):
        return f"no network: cannot connect to {host} ({url}): {cause}"
    if type(error) is ValueError:
        return f"the server's answer is damaged: {error} ({url})"
    return f"the transfer failed: {error} ({url})"


class _Bar:
    """A progress bar on the screen, as pooch wants it: total, update, reset and close.

    Raises UserError from `update` when `partial`, the file that grows, becomes too large.
    """

    def __init__(self, title: str, partial: Path, most: int | None) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TransferSpeedColumn,
        )

        self.total = 0
        self._partial, self._most = partial, most
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, done: int) -> None:
        """Show the file's size; pooch counts a short chunk as a whole one."""
        size = self._partial.stat().st_size
        most = self._most or (MAX_BYTES if self.total else MAX_UNANNOUNCED)
        if max(size, self.total) > most:
            raise UserError(f"the file is larger than it may be: more than {most} bytes")
        self._progress.update(self._task, total=self.total or None, completed=size)

    def moved(self, done: int, total: int | None) -> None:
        """As `update`, for a transfer that counts itself."""
        self.total = total or 0
        self.update(done)

    def reset(self) -> None:
        """Pooch calls it at the end, then `update` with everything."""

    def close(self) -> None:
        self._progress.refresh()


def _verify(path: Path, target: Path, url: str, known_hash: str | None, lock: Path) -> None:
    """Check `path`, which is or becomes `target`, against its known hashes; record a new file."""
    again = f"delete {target} if it is there, and run the command again"
    if known_hash is not None:
        algorithm, _, known = known_hash.partition(":")
        found = _hash(path, algorithm)
        if found != known:
            raise UserError(
                f"{target.name} has {algorithm} {found}, but its publisher gives {known}: it is "
                f"damaged or not the file at {url}; {again}"
            )
    found = sha256_of(path)
    locked = read_lock(lock)
    entry = locked.get(target.name)
    if entry is None:
        locked[target.name] = {"sha256": found, "bytes": path.stat().st_size, "url": url}
        _write_lock(lock, locked)
    elif entry["sha256"] != found:
        raise UserError(
            f"{target.name} has sha256 {found}, but {lock} recorded {entry['sha256']} when it "
            f"was first fetched from {entry.get('url', url)}: it is damaged, or its publisher "
            f"changed it. To try again, {again}; to accept the new file, remove the entry "
            f"{target.name!r} from the lock file first"
        )


def read_lock(lock: Path) -> dict[str, dict[str, Any]]:
    """The lock file's entries by file name: sha256, bytes, url. Raises UserError."""
    try:
        text = lock.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        entries = json.loads(text)
        if all(isinstance(entry["sha256"], str) for entry in entries.values()):
            return entries
    except (ValueError, AttributeError, KeyError, TypeError):
        pass
    raise UserError(
        f"{lock} is not a lock file: expected JSON that gives each file's sha256. Repair it, or "
        "delete it to record the hashes anew"
    )


def _write_lock(lock: Path, entries: dict[str, dict[str, Any]]) -> None:
    """Write the lock whole, then rename, so that a reader never sees half of it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    partial = lock.with_name(f".{lock.name}.{os.getpid()}.part")
    partial.write_text(json.dumps(entries, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(partial, lock)


def _hash(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
