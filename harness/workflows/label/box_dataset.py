"""Boxes that somebody has drawn: what `isegbench label` turns into masks."""

import hashlib
import json
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...dataset import Dataset


@dataclass(frozen=True, slots=True)
class GivenBox:
    """One box annotation.

    instance: its name in traces. id, image_id, category_id: those of COCO. bbox: as it was given,
    right or wrong; where right [x, y, width, height] in pixels, x and y of its outer edge.
    """

    instance: str
    id: Any
    image_id: Any
    category_id: Any
    bbox: Any


class BoxDataset(Dataset):
    """A data set of boxes without masks: the mask of an instance is its box.

    What is wrong with a box (empty, outside its image, no image) appears when its instance is
    loaded, as DataError.
    """

    #: The images' records, each with id and file_name; with height and width where they are known.
    images: Sequence[dict[str, Any]]
    #: The categories' records, each with id and name.
    categories: Sequence[dict[str, Any]]
    #: How many annotations of crowds were left out.
    crowds: int

    @abstractmethod
    def boxes(self) -> Sequence[GivenBox]:
        """The boxes, in the order of `instances`."""

    def digest(self) -> str:
        """sha256 over all boxes and their images' file names: whether they are the same boxes."""
        files = {record["id"]: record["file_name"] for record in self.images}
        total = hashlib.sha256()
        for box in self.boxes():
            line = [box.instance, box.category_id, files.get(box.image_id), box.bbox]
            total.update(json.dumps(line).encode() + b"\n")
        return total.hexdigest()
