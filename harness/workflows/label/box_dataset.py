"""Box annotations: the input of `isegbench label`."""

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

    instance: its name in traces. id, image_id, category_id: those of COCO. bbox: as in the file,
    valid or not; when valid [x, y, width, height] in pixels, x and y of its outer edge.
    """

    instance: str
    id: Any
    image_id: Any
    category_id: Any
    bbox: Any


class BoxDataset(Dataset):
    """A data set of boxes without masks: the mask of an instance is its box.

    A bad box (empty, outside its image, without an image) raises DataError when its instance is
    loaded.
    """

    #: The records of the images, each with id and file_name; height and width are optional.
    images: Sequence[dict[str, Any]]
    #: The records of the categories, each with id and name.
    categories: Sequence[dict[str, Any]]
    #: The number of crowd annotations, which are left out.
    crowds: int

    @abstractmethod
    def boxes(self) -> Sequence[GivenBox]:
        """The boxes, in the order of `instances`."""

    def digest(self) -> str:
        """sha256 over all boxes and the file names of their images: equal for equal boxes."""
        files = {record["id"]: record["file_name"] for record in self.images}
        total = hashlib.sha256()
        for box in self.boxes():
            line = [box.instance, box.category_id, files.get(box.image_id), box.bbox]
            total.update(json.dumps(line).encode() + b"\n")
        return total.hexdigest()
