"""The COCO file of masks that `isegbench label` writes, one annotation at a time."""

import json
from collections.abc import Container
from pathlib import Path
from typing import Any

from ...files import writing_whole
from ...store.masks import FOLDER, LINES, coco_annotation, mask_offsets, read_mask
from ...types import TRACE_KEY
from .box_dataset import BoxDataset

_METHOD, _INSTANCE = TRACE_KEY.index("method"), TRACE_KEY.index("instance")


def write_labels(
    path: Path,
    dataset: BoxDataset,
    parts: Path,
    method: str,
    wanted: Container[str],
    info: dict[str, Any],
) -> tuple[int, int]:
    """Write the masks of the `wanted` instances in the run directory `parts` as one whole file.

    The file is a COCO object: `info`, the images and categories of the boxes, and an annotation
    for each mask with the id, image and category of its box, `segmentation` (compressed run
    lengths), the mask's `area` and `bbox`, and `given_bbox`, the box of the input. An annotation
    is in memory only while it is written. Returns the number of masks and the number of empty
    ones. Raises UserError when the file cannot be written.
    """
    offsets = {
        key[_INSTANCE]: offset
        for key, offset in mask_offsets(parts).items()
        if key[_METHOD] == method
    }
    masks = empty = 0
    with writing_whole(path) as file:
        head = {
            "info": info,
            "images": list(dataset.images),
            "categories": list(dataset.categories),
        }
        file.write(_encoded(head)[:-1] + b', "annotations": [')
        if offsets:
            with open(parts / FOLDER / LINES, "rb") as lines:
                for box in dataset.boxes():
                    if box.instance not in offsets or box.instance not in wanted:
                        continue
                    mask = read_mask(lines, offsets[box.instance])
                    ids = box.id, box.image_id, box.category_id
                    annotation = coco_annotation(mask, *ids) | {"given_bbox": box.bbox}
                    file.write((b",\n" if masks else b"\n") + _encoded(annotation))
                    masks += 1
                    empty += annotation["area"] == 0
        file.write(b"\n]}\n")
    return masks, empty


def _encoded(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=False).encode("utf-8")
