"""Finding a data set's folder under the data root, and pairing the files in it."""

from collections.abc import Iterable
from pathlib import Path

from ...harness.downloads.cache import DATA_VARIABLE, data_root
from ...harness.errors import UserError

#: What counts as an image file, in any case.
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"}
)


def dataset_folder(name: str, folder: str, contains: Iterable[str], root: Path | None) -> Path:
    """ROOT/folder of the data set `name`.

    Raises UserError when it is missing or lacks one of `contains`, saying what to do.
    """
    path = data_root(root) / folder
    missing = [entry for entry in contains if not (path / entry).exists()]
    if not missing:
        return path
    what = f"it lacks {', '.join(missing)}" if path.is_dir() else "no such folder"
    raise UserError(
        f"dataset {name}: looked for {path}: {what}. Fetch it with 'isegbench data download "
        f"{name}', or give the folder that holds {folder} with --data-root or {DATA_VARIABLE}"
    )


def image_files(folder: Path) -> list[Path]:
    """The image files directly in `folder`, by name; hidden files are left out.

    Raises UserError when the folder cannot be listed.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"cannot list {folder}: {error.strerror or error}") from error
    return [
        path
        for path in entries
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    ]


def by_stem(files: Iterable[Path]) -> dict[str, Path]:
    """Files by stem, in order. Raises UserError when two share one: names must be unique."""
    found: dict[str, Path] = {}
    for path in files:
        other = found.setdefault(path.stem, path)
        if other != path:
            raise UserError(
                f"{path.parent} holds both {other.name} and {path.name}: one name must mean one "
                "file; remove one of them"
            )
    return found


def no_files(name: str, folder: Path) -> UserError:
    """The error for a folder without a single mask."""
    listed = ", ".join(sorted(IMAGE_SUFFIXES))
    return UserError(f"dataset {name}: {folder} holds no mask: expected files of {listed}")


def image_of(stem: str, images: dict[str, Path], folder: Path) -> Path:
    """The image called `stem`, or, for the error message, a path of no file."""
    return images.get(stem, folder / f"{stem}.*")


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
