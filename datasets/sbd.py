"""SBD: the Semantic Boundaries Dataset, every object of every image of a split.

B. Hariharan et al., "Semantic contours from inverse detectors", ICCV 2011. `val` is the field's
test set (2,857 images, 6,671 objects) with no pixel ignored, as in the code of f-BRS and RITM.
"""

import io
from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from ..harness.dataset import Archive, Dataset
from ..harness.errors import UserError
from ..harness.types import Decoder, InstanceRef
from .reading.decode import mask_of_object, object_ids
from .reading.objects import list_objects, object_refs
from .reading.paths import dataset_folder, read_list


class SBD(Dataset):
    """One instance per object id of `inst/IMAGE.mat`, named `IMAGE#ID`, in the list's order.

    split: the list to read, `val.txt` or `train.txt`. The first listing opens every .mat file.
    """

    # The Berkeley mirror and its MD5, as torchvision's SBDataset gives them.
    archive: ClassVar[Archive] = Archive(
        "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
        "benchmark.tgz",
        "benchmark.tgz",
        "SBD",
        ("img", "inst", "cls", "train.txt", "val.txt"),
        "md5:82b4d87ceb2ed10f6038a1cba92111cb",
    )

    def __init__(
        self, split: Literal["val", "train"] = "val", data_root: Path | None = None
    ) -> None:
        self.name = "sbd" if split == "val" else f"sbd:split={split}"
        if split == "val":
            self.expected = (2857, 6671)
        needed = ("img", "inst", f"{split}.txt")
        self.folder = dataset_folder("sbd", self.archive.folder, needed, data_root)
        self._images = read_list(self.folder / f"{split}.txt")

    def instances(self) -> list[InstanceRef]:
        """One reference per object. Raises UserError when the split has none."""
        refs = list(object_refs(self.name, self._objects, _decoder))
        if not refs:
            raise UserError(f"dataset {self.name}: no mask in {self.folder / 'inst'} has an object")
        return refs

    @cached_property
    def _objects(self) -> list[tuple[str, Path, Path, int | None]]:
        img, inst = self.folder / "img", self.folder / "inst"
        files = [(name, img / f"{name}.jpg", inst / f"{name}.mat") for name in self._images]
        return list_objects(files, lambda data: object_ids(read_segmentation(data)))


def read_segmentation(data: bytes) -> np.ndarray:
    """(H, W) uint8 object ids in the bytes of an `inst` .mat file: field GTinst.Segmentation."""
    from scipy.io import loadmat

    record = loadmat(io.BytesIO(data), variable_names=["GTinst"])["GTinst"]
    return np.asarray(record["Segmentation"][0, 0])


def decode_sbd(data: bytes, object_id: int) -> np.ndarray:
    """(H, W) uint8 mask of one object; the other objects are background."""
    return mask_of_object(read_segmentation(data), object_id)


def _decoder(number: int) -> Decoder:
    return partial(decode_sbd, object_id=number)
