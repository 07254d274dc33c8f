"""Lists of images: text files with one name a line."""

from pathlib import Path

from ..harness.errors import UserError


def read_list(path: Path) -> list[str]:
    """The names in `path`, in order; what follows a name on its line is left out.

    Raises UserError when it cannot be read, is empty or names an image twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"the list {path} cannot be read: {error}") from error
    names = [line.split()[0] for line in lines if line.strip()]
    if not names:
        raise UserError(f"the list {path} is empty: expected one image name a line")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UserError(f"the list {path} names {name} twice")
        seen.add(name)
    return names
