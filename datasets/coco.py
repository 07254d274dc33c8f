"""COCO JSON: annotations as polygons or run lengths, one instance each."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..harness.dataset import Dataset
from ..harness.errors import DataError, UserError
from ..harness.types import Blob, InstanceRef
from .reading.decode import decode_image
from .reading.size import check_size, is_size, size_problem

#: Pixels along all outlines of an annotation; pycocotools takes 80 bytes for each.
_MAX_OUTLINE = 2**21
#: Larger numbers are no coordinates; they may be integers that no float can hold.
_FINITE = 1e301
#: Bits of a number in compressed run lengths; no image has more pixels.
_MAX_BITS = 40


class Coco(Dataset):
    """One instance per annotation that is not a crowd, named `IMAGE_ID#ANNOTATION_ID`.

    The order is that of the file's images, and within an image that of its annotations. Nothing
    is ignored. An instance's encoded mask is the JSON of its annotation and its image's size.

    path: the annotations file. images: the folder that the images' `file_name` is relative to; if
    not given, it is looked for beside the file: images/, its own folder, and for
    `annotations/instances_NAME.json` the folder ../NAME.
    """

    def __init__(self, path: Path, images: Path | None = None) -> None:
        self.name = "coco"
        self.file = Path(path).expanduser()
        content = read_content(self.file, "dataset coco")
        self._records = {record["id"]: record for record in content["images"]}
        self._annotations = in_image_order(self._records, content["annotations"])
        if not self._annotations:
            raise UserError(f"dataset coco: {self.file} has no annotation that is not a crowd")
        self.images = self._image_folder(images)

    def instances(self) -> list[InstanceRef]:
        """One reference per annotation."""
        paths = {key: image_path(self.images, record) for key, record in self._records.items()}
        problems = {
            key: size_problem(record.get("height"), record.get("width"), paths[key])
            for key, record in self._records.items()
        }
        refs = []
        for annotation in self._annotations:
            key = annotation["image_id"]
            path = paths.get(key) or self.images / f"(no image has id {key})"
            mask = encode_annotation(
                annotation, self._records.get(key, {}), problems.get(key, f"no image has id {key}")
            )
            names = (self.name, f"{key}#{annotation['id']}", str(key))
            refs.append(
                InstanceRef(*names, Blob(path), Blob(mask), decode_image, decode_annotation)
            )
        return refs

    def __len__(self) -> int:
        return len(self._annotations)

    def _image_folder(self, given: Path | None) -> Path:
        """`given`, or the first usual place in which one of the first images lies."""
        if given is not None:
            folder = Path(given).expanduser()
            if not folder.is_dir():
                raise UserError(f"dataset coco: images={given}: no such folder")
            return folder
        beside = self.file.parent
        places = [beside / "images", beside, beside.parent / self.file.stem.split("_")[-1]]
        first = list(self._records.values())[:20]
        for place in places:
            if any(image_path(place, record).is_file() for record in first):
                return place
        raise UserError(
            f"dataset coco: the images of {self.file} are in none of "
            f"{', '.join(str(place) for place in places)}: write coco:{self.file},images=FOLDER"
        )


def image_path(folder: Path, record: dict[str, Any]) -> Path:
    """Where an image lies; for a name that no file can have, a path of no file."""
    name = record["file_name"]
    try:
        if b"\0" in os.fsencode(name):
            raise ValueError("a zero byte")
    except (TypeError, ValueError):
        return folder / f"(the file_name of image {record['id']} is not a file's name)"
    return folder / name


def encode_annotation(
    annotation: dict[str, Any], image: dict[str, Any], problem: str = ""
) -> bytes:
    """What `decode_annotation` needs, as JSON: the segmentation and the image's size.

    problem: why the annotation cannot be decoded, where that has been seen already.
    """
    content = {
        "segmentation": None if problem else annotation.get("segmentation"),
        "height": image.get("height"),
        "width": image.get("width"),
        "problem": problem,
    }
    return json.dumps(content, separators=(",", ":")).encode()


def decode_annotation(data: bytes) -> np.ndarray:
    """(H, W) uint8 mask, 1 inside the annotation, drawn by pycocotools.

    Raises DataError when there is no segmentation or no image size, the image is larger than
    `MAX_PIXELS`, or a polygon or run lengths are not well formed: pycocotools does not check, and
    reads and writes beyond its memory.
    """
    from pycocotools import mask as coco_mask

    content = json.loads(data)
    if content["problem"]:
        raise DataError(content["problem"])
    segmentation, height, width = (content[key] for key in ("segmentation", "height", "width"))
    if not is_size(height, width):
        raise DataError("the image's record has no height and width")
    check_size(height, width)
    if not segmentation:
        raise DataError("the annotation has no segmentation")
    if isinstance(segmentation, list):
        _check_polygons(segmentation, height, width)
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    else:
        runs = _run_lengths(segmentation, height, width)
    return np.ascontiguousarray(coco_mask.decode(runs)).astype(np.uint8)


def _check_polygons(polygons: list[Any], height: int, width: int) -> None:
    """Raise DataError for what is no polygon, and for one whose outline needs too much memory.

    A vertex may lie outside the image by the image's own width and height; further is an error.
    """
    outline = 0.0
    for polygon in polygons:
        # pycocotools would take four numbers for a box.
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise DataError("a polygon needs x and y of at least three points")
        if not all(type(value) in (int, float) and abs(value) < _FINITE for value in polygon):
            raise DataError("a polygon holds something that is not a finite number")
        for values, size in ((polygon[::2], width), (polygon[1::2], height)):
            far = min(values) < -size or max(values) > 2 * size
            if far:
                raise DataError(
                    f"a polygon reaches from {min(values):.9g} to {max(values):.9g}, far outside "
                    f"its image of {width}x{height}: at most the image's own size beyond its edges"
                )
            outline += sum(
                abs(a - b) for a, b in zip(values, [*values[1:], values[0]], strict=True)
            )
    if outline > _MAX_OUTLINE:
        raise DataError(f"the polygons' outline is {outline:.3g} pixels: at most {_MAX_OUTLINE}")


def _run_lengths(segmentation: Any, height: int, width: int) -> Any:
    """pycocotools' compressed form of a run-length segmentation. Raises DataError when its size
    is not the image's or its runs do not fill it."""
    from pycocotools import mask as coco_mask

    if not isinstance(segmentation, dict):
        raise DataError("the segmentation is neither polygons nor run lengths")
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise DataError(f"the run lengths are for {str(size)[:40]}, not {[height, width]}")
    runs = _expand(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(
        type(run) is int and abs(run) < 2**_MAX_BITS for run in runs
    ):
        raise DataError("the run lengths are not whole numbers of pixels")
    # pycocotools leaves pixels that no run covers as the memory happens to be.
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise DataError(f"the run lengths add up to {sum(runs)}, not to {height}x{width} pixels")
    return coco_mask.frPyObjects(cast(Any, {"size": size, "counts": runs}), height, width)


def _expand(counts: str) -> list[int]:
    """The run lengths in COCO's compressed string (format: pycocotools, `rleToString`).

    Characters from "0" on hold 6 bits each: 5 of the number, lowest first, and whether more
    follow; the last one's fifth bit is the sign. From the fourth number on, each is the
    difference to the one before the previous. Raises DataError.
    """
    runs: list[int] = []
    number = shift = 0
    for character in counts:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64:
            raise DataError(f"the run lengths hold the character {character!r}")
        number |= (bits & 0x1F) << shift
        shift += 5
        if shift > _MAX_BITS:
            raise DataError("the run lengths hold a number that is too large")
        if bits & 0x20:
            continue
        if bits & 0x10:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    if shift:
        raise DataError("the run lengths end within a number")
    return runs


def read_content(path: Path, what: str) -> dict[str, Any]:
    """The annotations file, its outline checked.

    what: the subject of error messages. Raises UserError naming what is wrong.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{what}: {path}: no such file") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{what}: {path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{what}: {path}: expected an object with images and annotations")
    for section, keys in {
        "images": ("id", "file_name"),
        "annotations": ("id", "image_id"),
    }.items():
        entries = content.get(section)
        if not isinstance(entries, list):
            raise UserError(f"{what}: {path} has no list called {section!r}")
        ids: set[Any] = set()
        for index, entry in enumerate(entries):
            missing = [key for key in keys if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise UserError(f"{what}: {path}: {section}[{index}] has no {missing[0]!r}")
            if not _is_id(entry["id"]):
                raise UserError(
                    f"{what}: {path}: the id of {section}[{index}] is neither a number nor text"
                )
            # An instance's name holds the id as text, so 1 and "1" are one id.
            if entry["id"] in ids or str(entry["id"]) in ids:
                raise UserError(f"{what}: {path}: {section} has the id {entry['id']} twice")
            ids |= {entry["id"], str(entry["id"])}
    for annotation in content["annotations"]:
        if not _is_id(annotation["image_id"]):  # no image's; loading the instance says so
            annotation["image_id"] = str(annotation["image_id"])[:40]
    return content


def _is_id(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) <= 1000
    return type(value) in (int, float) and abs(value) < 1e18


def in_image_order(
    images: dict[Any, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The annotations that are not crowds, by image; those of unlisted images at the end."""
    position = {image_id: index for index, image_id in enumerate(images)}
    single = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    return sorted(single, key=lambda a: position.get(a["image_id"], len(position)))
