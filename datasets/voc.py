"""VOC: objects of PASCAL VOC's SegmentationObject index images, in VOC2012's folder layout.

M. Everingham et al., "The PASCAL Visual Object Classes Challenge", IJCV 2010.
"""

from functools import cached_property, partial
from pathlib import Path
from typing import ClassVar, Literal

from ..harness.dataset import Archive, Dataset
from ..harness.errors import UserError
from ..harness.types import Decoder, InstanceRef
from .reading.decode import decode_indexed, object_ids, read_indices
from .reading.objects import list_objects, object_refs
from .reading.paths import dataset_folder, read_list

#: The palette index of the borders and of what is too hard to label.
VOID = 255


class VOC(Dataset):
    """One instance per object of each listed image, named `IMAGE#ID`, in the list's order.

    path: a folder like VOC2012, with JPEGImages, SegmentationObject and ImageSets/Segmentation;
    ROOT/VOC2012 if not given. split: which released list. Void pixels (255) are ignored, other
    objects are background. The first listing opens every mask.
    """

    # The official address and the MD5 torchvision's VOCSegmentation gives.
    archive: ClassVar[Archive] = Archive(
        "https://thor.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "VOCtrainval_11-May-2012.tar",
        "VOC2012",
        ("JPEGImages", "SegmentationObject", "ImageSets"),
        "md5:6cd6e144f989b92b3379bac3b3de84fd",
    )

    def __init__(
        self,
        path: Path | None = None,
        split: Literal["train", "val", "trainval"] = "val",
        data_root: Path | None = None,
    ) -> None:
        self.name = "voc"
        contains = ("JPEGImages", "SegmentationObject", f"ImageSets/Segmentation/{split}.txt")
        if path is None:
            self.folder = dataset_folder("voc", self.archive.folder, contains, data_root)
        else:
            self.folder = Path(path).expanduser()
            missing = [entry for entry in contains if not (self.folder / entry).exists()]
            if missing:
                raise UserError(
                    f"dataset voc: {self.folder} is not laid out like VOC2012: it has no "
                    f"{', no '.join(missing)}"
                )
        self._images = read_list(self.folder / f"ImageSets/Segmentation/{split}.txt")

    def instances(self) -> list[InstanceRef]:
        """One reference per object. Raises UserError when the split has none."""
        refs = list(object_refs(self.name, self._objects, _decoder))
        if not refs:
            raise UserError(
                f"dataset {self.name}: no mask in {self.folder / 'SegmentationObject'} has an "
                "object"
            )
        return refs

    @cached_property
    def _objects(self) -> list[tuple[str, Path, Path, int | None]]:
        images, masks = self.folder / "JPEGImages", self.folder / "SegmentationObject"
        files = [(name, images / f"{name}.jpg", masks / f"{name}.png") for name in self._images]
        return list_objects(files, lambda data: object_ids(read_indices(data), VOID))


def _decoder(number: int) -> Decoder:
    return partial(decode_indexed, object_id=number, ignore=VOID)
