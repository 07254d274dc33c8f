"""COCO JSON: annotations as polygons or run lengths, one instance each."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from ..harness.dataset import Dataset
from ..harness.errors import DataError, UserError
from ..harness.types import Blob, InstanceRef
from .reading.decode import decode_image


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
        return [
            InstanceRef(
                self.name,
                f"{annotation['image_id']}#{annotation['id']}",
                str(annotation["image_id"]),
                Blob(self._image(annotation["image_id"])),
                Blob(encode_annotation(annotation, self._records.get(annotation["image_id"], {}))),
                decode_image,
                decode_annotation,
            )
            for annotation in self._annotations
        ]

    def __len__(self) -> int:
        return len(self._annotations)

    def _image(self, image_id: Any) -> Path:
        record = self._records.get(image_id)
        return self.images / (record["file_name"] if record else f"(no image has id {image_id})")

    def _image_folder(self, given: Path | None) -> Path:
        """`given`, or the first usual place in which one of the first images lies."""
        if given is not None:
            folder = Path(given).expanduser()
            if not folder.is_dir():
                raise UserError(f"dataset coco: images={given}: no such folder")
            return folder
        beside = self.file.parent
        places = [beside / "images", beside, beside.parent / self.file.stem.split("_")[-1]]
        names = [record["file_name"] for record in list(self._records.values())[:20]]
        for place in places:
            if any((place / name).is_file() for name in names):
                return place
        raise UserError(
            f"dataset coco: the images of {self.file} are in none of "
            f"{', '.join(str(place) for place in places)}: write coco:{self.file},images=FOLDER"
        )


def encode_annotation(annotation: dict[str, Any], image: dict[str, Any]) -> bytes:
    """What `decode_annotation` needs, as JSON: the segmentation and the image's size."""
    content = {
        "segmentation": annotation.get("segmentation"),
        "height": image.get("height"),
        "width": image.get("width"),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def decode_annotation(data: bytes) -> np.ndarray:
    """(H, W) uint8 mask, 1 inside the annotation, drawn by pycocotools. Raises DataError when
    there is no segmentation, no image size, or a polygon of fewer than three points."""
    from pycocotools import mask as coco_mask

    content = json.loads(data)
    segmentation, height, width = (content[key] for key in ("segmentation", "height", "width"))
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise DataError("the image's record has no height and width")
    if not segmentation:
        raise DataError("the annotation has no segmentation")
    if isinstance(segmentation, list):
        for polygon in segmentation:
            # pycocotools would take four numbers for a box.
            if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
                raise DataError("a polygon needs x and y of at least three points")
        runs = coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    else:
        runs = _run_lengths(segmentation, height, width)
    return np.ascontiguousarray(coco_mask.decode(runs)).astype(np.uint8)


def _run_lengths(segmentation: dict[str, Any], height: int, width: int) -> Any:
    """pycocotools' compressed form of a run-length segmentation. Raises DataError when its size
    is not the image's or its runs do not fill it."""
    from pycocotools import mask as coco_mask

    if list(segmentation["size"]) != [height, width]:
        raise DataError(f"the run lengths are for {segmentation['size']}, not {[height, width]}")
    counts = segmentation["counts"]
    runs = _expand(counts) if isinstance(counts, str) else counts
    # pycocotools leaves pixels that no run covers as the memory happens to be.
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise DataError(f"the run lengths add up to {sum(runs)}, not to {height}x{width} pixels")
    return coco_mask.frPyObjects(cast(Any, {**segmentation, "counts": runs}), height, width)


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
    except (OSError, ValueError) as error:
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
            if entry["id"] in ids:
                raise UserError(f"{what}: {path}: {section} has the id {entry['id']} twice")
            ids.add(entry["id"])
    return content


def in_image_order(
    images: dict[Any, Any], annotations: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The annotations that are not crowds, by image; those of unlisted images at the end."""
    position = {image_id: index for index, image_id in enumerate(images)}
    single = [annotation for annotation in annotations if not annotation.get("iscrowd")]
    return sorted(single, key=lambda a: position.get(a["image_id"], len(position)))
