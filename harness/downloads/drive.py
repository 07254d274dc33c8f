"""Google Drive: files, and files of a folder, through gdown."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ..errors import UserError

#: Called with the bytes that have come and those announced, or None.
Progress = Callable[[int, int | None], None]


def download_from_drive(
    partial: Path,
    timeout: float,
    progress: Progress,
    drive_id: str | None,
    folder_id: str | None,
    file_name: str | None,
) -> None:
    """Fill `partial` with a file of Google Drive.

    drive_id: of the file; else it is the one called `file_name` in the folder `folder_id`. Raises
    UserError when Google refuses it or the folder has no such file; OSError, which requests' errors
    are, without a network.
    """
    import gdown

    try:
        if drive_id is None:
            drive_id = _find(folder_id, file_name, timeout)
        with partial.open("wb") as file:
            gdown.download(
                id=drive_id,
                output=file,
                quiet=True,
                use_cookies=False,
                timeout=timeout,
                progress=progress,
            )
    except (UserError, OSError):  # requests' errors are OSErrors
        raise
    except Exception as error:  # gdown raises nearly anything on a page that it does not expect
        raise UserError(
            f"Google Drive gives no file: {' '.join(str(error).split())[:300]}"
        ) from error


def _find(folder_id: str | None, file_name: str | None, timeout: float) -> str:
    """The id of the file of that name in a folder."""
    import gdown

    listed = gdown.download_folder(
        id=folder_id, quiet=True, use_cookies=False, timeout=timeout, skip_download=True
    )
    found = {PurePosixPath(str(entry.path)).name: entry.id for entry in listed}  # pyright: ignore
    if file_name not in found:
        raise UserError(f"the Google Drive folder holds no {file_name}: {', '.join(found)[:300]}")
    return str(found[file_name])
