"""A folder of images and a folder of masks: the layout of most people's own data."""

from functools import cached_property, partial
from pathlib import Path

from ..harness.dataset import Dataset
from ..harness.errors import UserError
from ..harness.types import Blob, Decoder, InstanceRef
from .reading.decode import (
    decode_image,
    decode_indexed,
    decode_threshold,
    object_ids,
    read_indices,
)
from .reading.objects import list_objects, object_refs
from .reading.paths import by_stem, image_files, image_of, no_files

#: Folder names that are recognised, in any case.
IMAGE_FOLDERS = ("images", "image", "imgs", "img", "data_GT", "JPEGImages", "photos")
MASK_FOLDERS = (
    *("masks", "mask", "gt", "gts", "boundary_GT", "ground_truth", "groundtruth"),
    *("labels", "label", "annotations", "annotation", "segmentations", "SegmentationObject"),
)


class Folder(Dataset):
    """Masks paired with images by stem, in the order of the masks' file names.

    path: the folder that holds both. images, masks: their folders, absolute or below `path`;
    found by common names (IMAGE_FOLDERS, MASK_FOLDERS) if not given.

    One object per mask file (the default): a pixel is object where its largest colour channel is
    above `threshold` (0; say 127 for masks stored as JPEG), and ignored where it equals `ignore`.
    The instance is named by the mask's stem. A folder masks/STEM holds several masks of the image
    STEM; their instances are named STEM#MASK.

    indexed=true: pixel values (of a palette image the indices) are object ids, 0 is background,
    `ignore` is ignored. One instance per id, named STEM#ID; the first listing opens every mask.

    A mask without an image costs itself when it is loaded; an image without a mask is left out.
    """

    def __init__(
        self,
        path: Path,
        images: Path | None = None,
        masks: Path | None = None,
        indexed: bool = False,
        ignore: int | None = None,
        threshold: int | None = None,
    ) -> None:
        self.name = "folder"
        self.folder = Path(path).expanduser()
        if not self.folder.is_dir():
            raise UserError(f"dataset folder: {self.folder}: no such folder")
        if indexed and threshold is not None:
            raise UserError("dataset folder: threshold has no meaning with indexed=true")
        self._image_folder = self._below("images", images, IMAGE_FOLDERS)
        self._mask_folder = self._below("masks", masks, MASK_FOLDERS)
        self._indexed, self._ignore, self._threshold = indexed, ignore, threshold or 0
        self._images = by_stem(image_files(self._image_folder))
        self._masks = self._find_masks()
        if not self._masks:
            raise no_files(self.name, self._mask_folder)
        if not any(stem in self._images for _, stem, _ in self._masks):
            raise UserError(
                f"dataset folder: none of the {len(self._masks)} masks in {self._mask_folder} has "
                f"an image of the same name in {self._image_folder}, such as {self._masks[0][1]}.*"
            )

    def instances(self) -> list[InstanceRef]:
        """One reference per mask file, or per object id. Raises UserError when there is none."""
        if self._indexed:
            refs = list(object_refs(self.name, self._objects, self._decoder))
            if not refs:
                raise UserError(
                    f"dataset {self.name}: no mask in {self._mask_folder} has an object"
                )
            return refs
        decode_mask = partial(decode_threshold, threshold=self._threshold, ignore=self._ignore)
        return [
            InstanceRef(
                self.name,
                name,
                stem,
                Blob(self._image(stem)),
                Blob(mask),
                decode_image,
                decode_mask,
            )
            for name, stem, mask in self._masks
        ]

    def _decoder(self, number: int) -> Decoder:
        return partial(decode_indexed, object_id=number, ignore=self._ignore)

    @cached_property
    def _objects(self) -> list[tuple[str, Path, Path, int | None]]:
        files = [(stem, self._image(stem), mask) for _, stem, mask in self._masks]
        return list_objects(files, lambda data: object_ids(read_indices(data), self._ignore))

    def _image(self, stem: str) -> Path:
        return image_of(stem, self._images, self._image_folder)

    def _find_masks(self) -> list[tuple[str, str, Path]]:
        """(instance name, image stem, file) of every mask file."""
        found = [(stem, stem, f) for stem, f in by_stem(image_files(self._mask_folder)).items()]
        if self._indexed or self._mask_folder == self._image_folder:
            return found
        for sub in sorted(p for p in self._mask_folder.iterdir() if p.is_dir()):
            files = by_stem(image_files(sub))
            found += [(f"{sub.name}#{stem}", sub.name, file) for stem, file in files.items()]
        return sorted(found, key=lambda entry: (entry[1], entry[2].name))

    def _below(self, key: str, given: Path | None, names: tuple[str, ...]) -> Path:
        """The folder `given` for `key`, or the only one in the folder with a known name."""
        if given is not None:
            path = self.folder / Path(given).expanduser()
            if not path.is_dir():
                raise UserError(f"dataset folder: {key}={given}: no folder {path}")
            return path
        known = {name.lower() for name in names}
        found = sorted(
            sub for sub in self.folder.iterdir() if sub.is_dir() and sub.name.lower() in known
        )
        if len(found) == 1:
            return found[0]
        problem = f"has both {found[0].name} and {found[1].name}" if found else "has none of "
        problem += "" if found else ", ".join(names)
        raise UserError(
            f"dataset folder: which folder holds the {key}? {self.folder} {problem}; write "
            f"folder:{self.folder},{key}=NAME"
        )
