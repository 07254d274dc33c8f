"""Pictures that a report page carries along: traces and contact sheets already drawn."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError

#: Pictures are put into the page up to this many bytes in all; the others are linked by their
#: place beside it.
MOST_BYTES = 24_000_000


@dataclass(frozen=True)
class Picture:
    """A picture of the page. source: a data: URI, or the path from the page to the file."""

    name: str
    source: str
    inside: bool


class Pictures:
    """Takes pictures into the page until it holds MOST_BYTES of them."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = folder
        self._left = most_bytes

    def take(self, path: Path) -> Picture:
        """One picture under the page's folder. Raises UserError when it cannot be read."""
        try:
            size = path.stat().st_size
            if size <= self._left:
                self._left -= size
                text = base64.b64encode(path.read_bytes()).decode("ascii")
                kind = "png" if path.suffix.lower() == ".png" else "jpeg"
                return Picture(path.name, f"data:image/{kind};base64,{text}", True)
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
        return Picture(path.name, _relative(path, self._folder), False)


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder, by name; none where there is no folder."""
    endings: Iterable[str] = (".png", ".jpg", ".jpeg")
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in endings)


def _relative(path: Path, folder: Path) -> str:
    """The path from a folder to a file as a relative URL."""
    from urllib.parse import quote

    return quote(path.relative_to(folder).as_posix())
