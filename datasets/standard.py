"""The field's small test sets, read by the rules of the code released with f-BRS and RITM.

A mask and its image share a stem; instances are ordered by file name and named by the stem.
"""

import re
from pathlib import Path
from typing import ClassVar

from ..harness.dataset import Archive, Dataset
from ..harness.types import Blob, Decoder, InstanceRef
from .reading.decode import decode_any_colour, decode_image, decode_trimap
from .reading.paths import by_stem, dataset_folder, image_files, image_of, no_files

_RELEASE = "https://github.com/saic-vul/fbrs_interactive_segmentation/releases/download/v1.0/"


class _Pairs(Dataset):
    """Images in one folder, masks in another, one object each."""

    called: ClassVar[str]
    archive: ClassVar[Archive]
    decode_mask: ClassVar[Decoder]

    def __init__(self, data_root: Path | None = None) -> None:
        self.name = self.called
        images, masks = self.archive.contains
        self.folder = dataset_folder(
            self.name, self.archive.folder, self.archive.contains, data_root
        )
        self._image_folder = self.folder / images
        self._images = by_stem(image_files(self._image_folder))
        self._masks = by_stem(image_files(self.folder / masks))
        if not self._masks:
            raise no_files(self.name, self.folder / masks)

    def instances(self) -> list[InstanceRef]:
        """One reference per mask file, by file name."""
        decode_mask = type(self).decode_mask
        return [
            InstanceRef(
                self.name,
                stem,
                self.photograph(stem),
                Blob(image_of(stem, self._images, self._image_folder)),
                Blob(mask),
                decode_image,
                decode_mask,
            )
            for stem, mask in self._masks.items()
        ]

    def __len__(self) -> int:
        return len(self._masks)

    def photograph(self, stem: str) -> str:
        """The image's own name, given the stem of an image file."""
        return stem


class GrabCut(_Pairs):
    """GrabCut: 50 images; a mask's value 128 is a border that is not scored.

    C. Rother, V. Kolmogorov, A. Blake, "GrabCut", SIGGRAPH 2004.
    """

    called = "grabcut"
    archive = Archive(
        _RELEASE + "GrabCut.zip", "GrabCut.zip", "GrabCut", ("data_GT", "boundary_GT")
    )
    expected = (50, 50)
    decode_mask = decode_trimap


class Berkeley(_Pairs):
    """Berkeley: 100 objects on 96 photographs of the Berkeley segmentation data set.

    K. McGuinness, N. O'Connor, "A comparative evaluation of interactive segmentation
    algorithms", Pattern Recognition 2010. The image file is repeated for each further object
    (189011, 189011a, 189011b), so the photograph's name is the stem without the letter.
    """

    called = "berkeley"
    archive = Archive(_RELEASE + "Berkeley.zip", "Berkeley.zip", "Berkeley", ("images", "masks"))
    expected = (96, 100)
    decode_mask = decode_trimap

    def photograph(self, stem: str) -> str:
        """The number of the photograph: `189011` for `189011a`."""
        numbered = re.fullmatch(r"(\d+)[a-z]", stem)
        return numbered[1] if numbered else stem


class Davis(_Pairs):
    """DAVIS: 345 frames of DAVIS-2016 sequences, chosen with the f-BRS release.

    F. Perazzi et al., "A benchmark dataset and evaluation methodology for video object
    segmentation", CVPR 2016. All objects of a frame are one.
    """

    called = "davis"
    archive = Archive(_RELEASE + "DAVIS.zip", "DAVIS.zip", "DAVIS", ("img", "gt"))
    expected = (345, 345)
    decode_mask = decode_any_colour


class CocoMVal(_Pairs):
    """COCO MVal: 800 objects of COCO's validation images, ten of each category.

    K. Sofiiuk et al., "f-BRS", CVPR 2020.
    """

    called = "coco_mval"
    archive = Archive(_RELEASE + "COCO_MVal.zip", "COCO_MVal.zip", "COCO_MVal", ("img", "gt"))
    expected = (800, 800)
    decode_mask = decode_any_colour
