"""Masks that hold several objects in one file: listing the objects, one instance each."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ...harness.types import Blob, Decoder, InstanceRef
from .decode import decode_image

#: Names the single instance of a file whose objects cannot be listed; loading it raises the reason.
UNREADABLE = "?"


def list_objects(
    files: Iterable[tuple[str, Path, Path]],
    ids: Callable[[bytes], list[int]],
) -> list[tuple[str, Path, Path, int | None]]:
    """(stem, image, mask, object id) of every object in (stem, image, mask) files, in order.

    ids: encoded mask -> the object ids in it. A mask file that cannot be read gives one entry
    whose id is None, so that it costs itself and is seen. Reads every mask file.
    """
    found: list[tuple[str, Path, Path, int | None]] = []
    for stem, image, mask in files:
        try:
            numbers: list[int] | list[None] = [*ids(mask.read_bytes())]
        except Exception:  # loading the instance raises it again, as a DataError
            numbers = [None]
        found += [(stem, image, mask, number) for number in numbers]
    return found


def object_refs(
    dataset: str,
    objects: Iterable[tuple[str, Path, Path, int | None]],
    decoder: Callable[[int], Decoder],
) -> Iterator[InstanceRef]:
    """References named `STEM#ID`. decoder: object id -> the decoder of its mask."""
    for stem, image, mask, number in objects:
        yield InstanceRef(
            dataset,
            f"{stem}#{UNREADABLE if number is None else number}",
            stem,
            Blob(image),
            Blob(mask),
            decode_image,
            decoder(-1 if number is None else number),
        )
