"""Small data sets in the layouts of the real ones."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from scipy.sparse import csc_matrix

from isegbench.harness.types import InstanceRef

Truth = dict[str, np.ndarray]


def _write_image(path: Path, height: int, width: int, seed: int = 0) -> None:
    """A picture of that size, encoded as the path's suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert cv2.imwrite(str(path), picture)


@pytest.fixture
def object_maps() -> Truth:
    """Object ids of three images of different sizes; 255 marks void."""
    maps: Truth = {}
    for index, (name, ids) in enumerate({"2008_000002": [1], "b": [1, 2, 5], "c": []}.items()):
        indices = np.zeros((40 + index, 50), np.uint8)
        for place, number in enumerate(ids):
            indices[5:20, 4 + 12 * place : 14 + 12 * place] = number
        indices[30:33, :] = 255
        maps[name] = indices
    return maps


@pytest.fixture
def voc_root(tmp_path: Path, object_maps: Truth) -> Path:
    """A data root with VOC2012, whose palette colours differ from the indices."""
    folder = tmp_path / "root" / "VOC2012"
    (folder / "SegmentationObject").mkdir(parents=True)
    (folder / "ImageSets/Segmentation").mkdir(parents=True)
    for name, indices in object_maps.items():
        _write_image(folder / f"JPEGImages/{name}.jpg", *indices.shape)
        image = Image.fromarray(indices, mode="P")
        image.putpalette([value for i in range(256) for value in (255 - i, i // 2, 0)])
        image.save(folder / f"SegmentationObject/{name}.png")
    (folder / "ImageSets/Segmentation/val.txt").write_text("b\n2008_000002\nc\n")
    (folder / "ImageSets/Segmentation/train.txt").write_text("2008_000002\n")
    return tmp_path / "root"


@pytest.fixture
def sbd_root(tmp_path: Path, object_maps: Truth) -> Path:
    """A data root with SBD: MATLAB records with segmentation, boundaries and categories."""
    folder = tmp_path / "root" / "SBD"
    (folder / "inst").mkdir(parents=True)
    for name, indices in object_maps.items():
        _write_image(folder / f"img/{name}.jpg", *indices.shape)
        indices = np.where(indices == 255, 0, indices)
        number = len(np.unique(indices)) - 1
        boundaries = np.empty((number, 1), object)
        for row in range(number):
            boundaries[row, 0] = csc_matrix(np.eye(*indices.shape))
        record = {
            "Segmentation": indices,
            "Boundaries": boundaries,
            "Categories": np.ones((number, 1)),
        }
        savemat(folder / f"inst/{name}.mat", {"GTinst": record}, do_compression=True)
    (folder / "val.txt").write_text("b\n2008_000002\nc\n")
    (folder / "train.txt").write_text("2008_000002\n")
    return tmp_path / "root"


@pytest.fixture
def same_when_held() -> Callable[[InstanceRef], None]:
    """Check that a reference gives the same arrays after it travelled without its files."""
    import pickle

    def check(ref: InstanceRef) -> None:
        here = ref.load()
        there = pickle.loads(pickle.dumps(ref.held())).load()
        assert (there.dataset, there.name, there.image_name) == (
            here.dataset,
            here.name,
            here.image_name,
        )
        np.testing.assert_array_equal(there.image, here.image)
        np.testing.assert_array_equal(there.mask, here.mask)

    return check


@pytest.fixture
def write_image() -> Callable[..., None]:
    """`write_image(path, height, width, seed=0)`: write a random picture."""
    return _write_image
