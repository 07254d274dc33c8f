"""From an instance to a training sample: augmented, cropped, with guidance."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from ....harness.types import IGNORED, OBJECT, InstanceRef
from ...processing.boxes import box_of
from ..guidance import corners, guidance, opening_guidance, opening_of
from ..view import CropView
from .augmentation import Augmentation, Layers, augmented
from .batches import Key


class Sample(NamedTuple):
    """One crop, or a batch of them.

    input: ([N,] 5, side, side) float32 in 0..255: R, G, B, inside and outside guidance. mask,
    void: ([N,] 1, side, side) float32 in [0, 1], interpolated: the object, and the ignored pixels.
    """

    input: torch.Tensor
    mask: torch.Tensor
    void: torch.Tensor


class Samples(Dataset[Sample]):
    """Samples by (epoch, index); the same key gives the same sample in every process.

    refs: the instances. augmentation: None for none. inside: False leaves the inside channel
    empty. cache: keep decoded images and masks of this process in memory.
    """

    def __init__(
        self,
        refs: Sequence[InstanceRef],
        side: int,
        augmentation: Augmentation | None,
        seed: int = 0,
        *,
        inside: bool = True,
        cache: bool = False,
    ) -> None:
        self._refs, self._side, self._augmentation = refs, side, augmentation
        self._seed, self._inside = seed, inside
        self._images: dict[Path | int, np.ndarray] | None = {} if cache else None
        self._masks: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._refs)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of an epoch and an index. Raises DataError for an unreadable instance."""
        epoch, index = key
        image, mask = self._load(index)
        layers = Layers(
            image.astype(np.float32),
            (mask == OBJECT).astype(np.float32),
            (mask == IGNORED).astype(np.float32),
        )
        if self._augmentation is not None:
            rng = np.random.default_rng((self._seed, epoch, index))
            layers = augmented(layers, self._augmentation, rng)
        return cropped(layers, self._side, inside=self._inside)

    def _load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        if self._images is None:
            instance = self._refs[index].load()
            return instance.image, instance.mask
        # The images of two data sets may have one name: their paths differ.
        data = self._refs[index].image.data
        name = data if isinstance(data, Path) else index
        if index not in self._masks:
            instance = self._refs[index].load()
            self._images.setdefault(name, instance.image)
            self._masks[index] = instance.mask
        return self._images[name], self._masks[index]


def cropped(layers: Layers, side: int, *, inside: bool = True) -> Sample:
    """The view of the object in `layers`, with guidance from its ground truth.

    inside: False leaves the inside channel empty. Without an object everything is zero.
    """
    if not layers.mask.any():
        zero = torch.zeros(1, side, side)
        return Sample(torch.zeros(5, side, side), zero, zero.clone())
    view = CropView(box_of(np.argwhere(layers.mask)), side)
    mask, void = view.picture(layers.mask), view.picture(layers.void)
    opening = opening_of(mask > 0.5)
    if opening is None or inside:
        maps = opening_guidance(opening, side)
    else:
        maps = guidance(np.empty((0, 2)), corners(opening.box, side), side)
    stacked = np.concatenate([view.picture(layers.image).transpose(2, 0, 1), maps])
    return Sample(
        torch.from_numpy(stacked), torch.from_numpy(mask[None]), torch.from_numpy(void[None])
    )


def prepare_process(number: int) -> None:
    """Restrict a process that prepares samples to one core; the others need theirs."""
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
