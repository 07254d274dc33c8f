"""Pictures that a report page carries along: traces and contact sheets already drawn."""

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ...errors import UserError

#: Pictures are put into the page up to this many bytes in all, as WebP, which is a tenth of the
#: PNG they are drawn as; the others are linked by their place beside it.
MOST_BYTES = 12_000_000
QUALITY = 82


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
        if self._left > 0:
            data = _compressed(path)
            if len(data) <= self._left:
                self._left -= len(data)
                text = base64.b64encode(data).decode("ascii")
                return Picture(path.name, f"data:image/webp;base64,{text}", True)
            # The first that does not fit ends it: reading all the others would take long.
            self._left = 0
        return Picture(path.name, _relative(path, self._folder), False)


def _compressed(path: Path) -> bytes:
    """A picture file as WebP."""
    import cv2
    import numpy as np

    try:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    except (OSError, cv2.error) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if picture is None:
        raise UserError(f"{path} is not a picture: delete it, or draw it again")
    return cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, QUALITY])[1].tobytes()


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
