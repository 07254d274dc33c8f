"""Boxes without masks, for `isegbench label`: COCO JSON, or XML files of VOC and ILSVRC."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..harness.errors import DataError, UserError
from ..harness.types import BACKGROUND, OBJECT, Blob, Box, InstanceRef
from ..harness.workflows.label.box_dataset import BoxDataset, GivenBox
from .coco import image_path
from .reading.box_files import BoxFile, read_coco, read_xml
from .reading.decode import decode_image
from .reading.size import check_size, is_size, size_problem, upright_size

#: Edges are rounded to this many decimals: x + width may lie slightly beyond a whole number.
_DECIMALS = 6


class Boxes(BoxDataset):
    """Boxes without masks: an instance's mask is its box, so that IoU has no meaning here.

    path: a COCO JSON file, whose crowds are left out; one XML file of VOC or ILSVRC; or a folder
    with XML files at any depth. images: the folder that COCO's `file_name` is relative to, or
    with the photographs of the XML files: of the same stem, in the same sub-folder or directly in
    it. Instances are named IMAGE_ID#ANNOTATION_ID, or XML_FILE#NUMBER.
    """

    def __init__(self, path: Path, images: Path) -> None:
        self.name = "boxes"
        self.file, self.folder = Path(path).expanduser(), Path(images).expanduser()
        if not self.folder.is_dir():
            raise UserError(f"boxes: images={images}: no such folder")
        self._content: BoxFile
        if self.file.is_dir() or self.file.suffix.lower() == ".xml":
            self._content = read_xml(self.file, self.folder)
        else:
            self._content = read_coco(self.file)
        if not self._content.boxes:
            raise UserError(f"boxes: {self.file} holds no box that is not a crowd's")
        self.images = self._content.images
        self.categories = self._content.categories
        self.crowds = self._content.crowds

    def boxes(self) -> Sequence[GivenBox]:
        return self._content.boxes

    def instances(self) -> list[InstanceRef]:
        """One reference per box; those of one image share the image's."""
        blobs: dict[Any, Blob] = {}
        problems: dict[Any, str] = {}
        records = {record["id"]: record for record in self.images}
        for image_id, record in records.items():
            path = image_path(self.folder, record)
            blobs[image_id] = Blob(path)
            problems[image_id] = _complete_size(record, path)
        refs = []
        for box in self._content.boxes:
            image = blobs.get(box.image_id)
            if image is None:
                image = blobs[box.image_id] = Blob(Path(f"(no image has id {box.image_id})"))
            problem = self._content.problems.get(box.instance) or problems.get(box.image_id, "")
            mask = _encoded(box, records.get(box.image_id, {}), problem)
            names = (self.name, box.instance, str(box.image_id))
            refs.append(InstanceRef(*names, image, mask, decode_image, decode_box))
        return refs

    def __len__(self) -> int:
        return len(self._content.boxes)


def _encoded(box: GivenBox, record: dict[str, Any], problem: str) -> Blob:
    """What `decode_box` needs. problem: why it cannot be decoded, where that has been seen."""
    content = {
        "bbox": None if problem else box.bbox,
        "height": record.get("height"),
        "width": record.get("width"),
        "problem": problem,
    }
    return Blob(json.dumps(content, separators=(",", ":")).encode(), "of the box")


def decode_box(data: bytes) -> np.ndarray:
    """(H, W) uint8: 1 in the pixels of a box, from what `Boxes` encodes.

    Raises DataError when the box is damaged, empty or outside, or the image has no size.
    """
    content = json.loads(data)
    if content["problem"]:
        raise DataError(content["problem"])
    height, width = content["height"], content["width"]
    if not is_size(height, width):
        raise DataError("the size of the image is neither in the annotations nor in the image file")
    check_size(height, width)
    mask = np.full((height, width), BACKGROUND, np.uint8)
    mask[pixels_of(content["bbox"], height, width).slices] = OBJECT
    return mask


def pixels_of(bbox: Any, height: int, width: int) -> Box:
    """The box of the pixels that a COCO box covers, even in part.

    bbox: [x, y, width, height], x and y of the box's outer edge, where pixel i reaches from i to
    i + 1. What lies outside the (height, width) image is cut off. Raises DataError for a box that
    is not four finite numbers, is empty, or lies outside altogether.

    >>> pixels_of([10.3, 20, 5.2, 2], 100, 100)
    Box(top=20, left=10, bottom=21, right=15)
    """
    try:
        x, y, wide, tall = (float(value) for value in bbox)
    except (TypeError, ValueError):
        raise DataError(f"bbox {bbox!r} is not [x, y, width, height]") from None
    if not all(math.isfinite(value) for value in (x, y, wide, tall)):
        raise DataError(f"bbox {bbox} is not four finite numbers")
    if wide <= 0 or tall <= 0:
        raise DataError(f"bbox {bbox} is empty: {wide:g} wide, {tall:g} high")
    top, bottom = _pixels(y, tall, height)
    left, right = _pixels(x, wide, width)
    if top > bottom or left > right:
        raise DataError(f"bbox {bbox} lies outside its image of {width}x{height}")
    return Box(top, left, bottom, right)


def _pixels(start: float, length: float, size: int) -> tuple[int, int]:
    first = math.floor(round(start, _DECIMALS))
    # A box may be thinner than the rounding.
    last = max(math.ceil(round(start + length, _DECIMALS)) - 1, first)
    return max(first, 0), min(last, size - 1)


def _complete_size(record: dict[str, Any], path: Path) -> str:
    """Read a size that a record lacks from the image itself; why that one cannot be used, or ""."""
    if is_size(record.get("height"), record.get("width")):
        return size_problem(record["height"], record["width"], path)
    try:
        record["height"], record["width"] = upright_size(path) or (None, None)
    except DataError as error:
        return str(error)
    return ""
