"""The embedded samples: the file, the masks, and evidence that each mask hugs its object."""

import json
import pickle
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import skimage
from pycocotools.coco import COCO
from scipy import ndimage
from skimage.draw import polygon2mask

from isegbench.datasets import samples
from isegbench.datasets.samples import MASKS, Samples
from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets
from isegbench.harness.types import Blob, Instance

# Not skimage.data_dir, which names a cache once skimage.data is imported.
PHOTOGRAPHS = Path(skimage.__file__).parent / "data"

# name: (category, number of parts). The parts of the spoon and of the photographer are cut by
# what stands before them: the cup, the tripod's column and the camcorder's strap.
OBJECTS = {
    "astronaut#1": ("astronaut", 1),
    "astronaut#2": ("helmet", 1),
    "astronaut#3": ("flag", 1),
    "astronaut#4": ("mission patch", 1),
    "astronaut#5": ("name tag", 1),
    "camera#6": ("photographer", 4),
    "camera#7": ("camcorder", 1),
    "camera#8": ("tripod", 1),
    "chelsea#9": ("eye", 1),
    "chelsea#10": ("eye", 1),
    "chelsea#11": ("nose", 1),
    "coffee#12": ("cup", 1),
    "coffee#13": ("saucer", 1),
    "coffee#14": ("spoon", 2),
    "coffee#15": ("coffee", 1),
    "coins#16": ("coin", 1),
    "coins#17": ("coin", 1),
    "coins#18": ("coin", 1),
    "coins#19": ("coin", 1),
    "coins#20": ("coin", 1),
    "coins#21": ("coin", 1),
    "coins#22": ("coin", 1),
    "rocket#23": ("rocket", 1),
    "rocket#24": ("mast", 1),
}

# (row, column) read off the enlarged photographs: on the object, and beside it.
POINTS = {
    "astronaut#1": ((100, 225), (100, 120)),  # a cheek; the wall
    "astronaut#2": ((440, 360), (350, 300)),  # the visor; the name tag
    "astronaut#3": ((60, 20), (60, 90)),  # a star's field; the wall
    "astronaut#4": ((385, 170), (430, 215)),  # embroidery; the suit
    "astronaut#5": ((358, 303), (335, 300)),  # the wings; the suit
    "camera#6": ((300, 100), (400, 200)),  # the coat; the grass
    "camera#7": ((165, 290), (195, 290)),  # the body; the tripod's head
    "camera#8": ((400, 293), (400, 310)),  # the column; grass between the legs
    "chelsea#9": ((115, 150), (115, 225)),  # the iris; fur
    "chelsea#10": ((135, 330), (135, 285)),
    "chelsea#11": ((240, 265), (220, 265)),  # the leather; fur above
    "coffee#12": ((270, 210), (150, 120)),  # the handle; the saucer
    "coffee#13": ((350, 300), (270, 360)),  # the well; the spoon's bowl
    "coffee#14": ((90, 412), (150, 420)),  # the handle's end; the saucer
    "coffee#15": ((150, 290), (60, 290)),  # the crema; the cup's inner wall
    "coins#16": ((54, 44), (54, 74)),
    "coins#17": ((43, 335), (43, 375)),
    "coins#18": ((124, 45), (124, 75)),
    "coins#19": ((119, 270), (119, 306)),
    "coins#20": ((197, 44), (197, 72)),
    "coins#21": ((195, 275), (195, 305)),
    "coins#22": ((260, 46), (260, 84)),
    "rocket#23": ((300, 322), (300, 345)),  # the body; the sky
    "rocket#24": ((150, 447), (150, 460)),
}

# On another object's mask by right: what is sewn on the suit, and what is in the cup.
NESTED = {
    ("astronaut#1", "astronaut#4"),
    ("astronaut#1", "astronaut#5"),
    ("coffee#12", "coffee#15"),
}

EIGHT = np.ones((3, 3))


@pytest.fixture(scope="module")
def instances() -> dict[str, Instance]:
    return {ref.name: ref.load() for ref in Samples().instances()}


@pytest.fixture(scope="module")
def content() -> dict:
    return json.loads(MASKS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def coco() -> COCO:
    return COCO(str(MASKS))


def test_the_names_are_these_and_in_this_order():
    built = datasets.build("samples")
    assert built.name == "samples"
    refs = list(built.instances())
    assert [ref.name for ref in refs] == list(OBJECTS)
    assert [ref.image_name for ref in refs] == [name.split("#")[0] for name in OBJECTS]
    assert {ref.dataset for ref in refs} == {"samples"}
    assert len(built) == len(OBJECTS) >= 16
    assert built.expected == (len({ref.image_name for ref in refs}), len(refs))


def test_every_instance_loads_as_promised(instances):
    for name, instance in instances.items():
        assert (instance.dataset, instance.name) == ("samples", name)
        assert instance.image.dtype == np.uint8
        assert instance.image.shape == (*instance.mask.shape, 3)
        assert instance.mask.dtype == np.uint8
        assert set(np.unique(instance.mask)) == {0, 1}


def test_the_photographs_are_those_scikit_image_reads_in_rgb(instances, content):
    from skimage.io import imread

    files = {record["id"]: record["file_name"] for record in content["images"]}
    for instance in instances.values():
        if instance.image_name == "rocket":  # JPEG decoders may differ by a grey level or so
            continue
        photograph = imread(PHOTOGRAPHS / files[instance.image_name])
        if photograph.ndim == 2:
            photograph = np.repeat(photograph[:, :, None], 3, axis=2)
        np.testing.assert_array_equal(instance.image, photograph)


def test_a_held_reference_travels_without_the_files(instances):
    for ref in Samples().instances():
        travelled = pickle.loads(pickle.dumps(ref.held()))
        assert isinstance(travelled.image.data, bytes)
        assert isinstance(travelled.mask.data, bytes)
        loaded = travelled.load()
        np.testing.assert_array_equal(loaded.image, instances[ref.name].image)
        np.testing.assert_array_equal(loaded.mask, instances[ref.name].mask)


def test_pycocotools_reads_the_file(coco, instances):
    assert len(coco.getAnnIds()) == len(OBJECTS)
    assert coco.getImgIds() == ["astronaut", "camera", "chelsea", "coffee", "coins", "rocket"]
    for annotation in coco.loadAnns(coco.getAnnIds()):
        name = f"{annotation['image_id']}#{annotation['id']}"
        record = coco.loadImgs([annotation["image_id"]])[0]
        mask = coco.annToMask(annotation)
        assert mask.shape == (record["height"], record["width"])
        np.testing.assert_array_equal(mask, instances[name].mask)
        assert coco.loadCats(annotation["category_id"])[0]["name"] == OBJECTS[name][0]
    assert len(coco.getAnnIds(imgIds=["coins"])) == 7
    assert len(coco.getAnnIds(catIds=coco.getCatIds(catNms=["coin"]))) == 7


def test_areas_and_boxes_are_those_of_the_masks(content, instances):
    for annotation in content["annotations"]:
        mask = instances[f"{annotation['image_id']}#{annotation['id']}"].mask
        rows, columns = np.nonzero(mask)
        assert annotation["area"] == mask.sum()
        assert annotation["bbox"] == [
            columns.min(),
            rows.min(),
            np.ptp(columns) + 1,
            np.ptp(rows) + 1,
        ]
        assert annotation["iscrowd"] == 0


def test_polygons_and_run_lengths_are_both_there_and_polygons_fill_alike(content, instances):
    kinds = Counter(type(annotation["segmentation"]) for annotation in content["annotations"])
    assert min(kinds[list], kinds[dict]) >= 5
    for annotation in content["annotations"]:
        if isinstance(annotation["segmentation"], list):
            mask = instances[f"{annotation['image_id']}#{annotation['id']}"].mask == 1
            drawn = np.zeros_like(mask)
            for corners in annotation["segmentation"]:
                # COCO counts from a pixel's corner, scikit-image from its centre.
                points = np.reshape(corners, (-1, 2))[:, ::-1] - 0.5
                drawn |= polygon2mask(mask.shape, points)
            # The two fill rules part within a pixel of the outline.
            inner, outer = ndimage.binary_erosion(mask), ndimage.binary_dilation(mask)
            assert not (inner & ~drawn).any()
            assert not (drawn & np.logical_not(outer)).any()
            assert abs(int(drawn.sum()) - int(mask.sum())) < 0.06 * mask.sum()


def test_every_photograph_says_whose_it_is_and_on_what_terms(content):
    for record in content["images"]:
        assert record["credit"]
        assert record["licence"]


@pytest.mark.parametrize("name", OBJECTS)
def test_points_read_off_the_photograph_are_on_and_beside_the_object(instances, name):
    on, beside = POINTS[name]
    assert instances[name].mask[on] == 1
    assert instances[name].mask[beside] == 0


def test_masks_are_whole_and_without_pinholes(instances):
    for name, instance in instances.items():
        labels = np.empty(instance.mask.shape, int)
        parts = ndimage.label(instance.mask, EIGHT, labels)
        sizes = np.bincount(labels.ravel())[1:]
        assert parts == OBJECTS[name][1], name
        assert sizes.min() >= 50, name
        assert sizes.max() > 0.85 * sizes.sum(), name
        filled = ndimage.binary_fill_holes(instance.mask)
        ndimage.label(filled & (instance.mask == 0), output=labels)
        holes = np.bincount(labels.ravel())[1:]
        assert len(holes) == 0 or holes.min() >= 20, name


def test_masks_overlap_only_where_one_object_is_part_of_another(instances):
    pairs = {
        (a.name, b.name)
        for a, b in combinations(instances.values(), 2)
        if a.image_name == b.image_name and (a.mask & b.mask).any()
    }
    assert pairs == NESTED


def gradient(image: np.ndarray) -> np.ndarray:
    """(H, W) colour gradient magnitude at 0.7 pixels."""
    channels = [
        ndimage.gaussian_gradient_magnitude(image[:, :, c].astype(float), 0.7) for c in range(3)
    ]
    return np.sqrt(np.sum(np.square(channels), axis=0))


def depth(mask: np.ndarray) -> np.ndarray:
    """(H, W) signed distance to the outline, positive inside; the image's border is no outline."""
    inside = np.pad(mask == 1, 1, mode="edge")
    inner, outer = (np.asarray(ndimage.distance_transform_edt(part)) for part in (inside, ~inside))
    return np.where(inside, inner - 0.5, 0.5 - outer)[1:-1, 1:-1]


def contrast(image: np.ndarray, mask: np.ndarray) -> float:
    """Mean gradient on the outline over that on the outline moved 12 pixels in four ways."""
    slope = gradient(image)
    rows, columns = np.nonzero(np.abs(depth(mask)) < 1)
    away = []
    for down, right in [(12, 0), (-12, 0), (0, 12), (0, -12)]:
        y, x = rows + down, columns + right
        seen = (y >= 0) & (x >= 0) & (y < mask.shape[0]) & (x < mask.shape[1])
        away.append(slope[y[seen], x[seen]].mean())
    return float(slope[rows, columns].mean() / np.mean(away))


def sharpest(image: np.ndarray, mask: np.ndarray) -> int:
    """Pixels inside (positive) the outline at which the mean gradient is largest, -4..4."""
    slope, inside = gradient(image), depth(mask)
    means = {}
    for d in range(-4, 5):
        band = (inside >= d - 0.5) & (inside < d + 0.5)
        if band.any():
            means[d] = slope[band].mean()
    return max(means, key=lambda d: means[d])


def test_outlines_lie_on_edges_of_the_photographs(instances):
    ratios = {n: contrast(i.image, i.mask) for n, i in instances.items()}
    # Measured: 1.55 (a nose in fur) to 7.1, median 3.
    assert min(ratios.values()) > 1.45, ratios
    assert np.median(list(ratios.values())) > 2.5, ratios


def test_outlines_are_nowhere_sharper_than_in_place(instances):
    offsets = {n: sharpest(i.image, i.mask) for n, i in instances.items()}
    # A tripod's leg is white in the middle: sharper there than at its rim.
    assert [n for n, offset in offsets.items() if abs(offset) > 1] == ["camera#8"]


def test_the_edge_evidence_falls_when_a_mask_is_drawn_beside_its_object(instances):
    for name in ["astronaut#4", "chelsea#9", "coffee#12", "coins#20", "camera#6"]:
        instance = instances[name]
        beside = np.roll(instance.mask, (5, 5), axis=(0, 1))
        placed = contrast(instance.image, instance.mask)
        assert contrast(instance.image, beside) < 0.75 * placed, name


def test_inside_and_outside_differ_in_colour(instances):
    for name, instance in instances.items():
        inside = depth(instance.mask)
        near = [(inside > 1) & (inside < 5), (inside < -1) & (inside > -5)]
        means = [instance.image[ring].mean(axis=0) for ring in near]
        # Measured: 7.8 (an eye whose rim is as dark as its pupil) to 138 grey levels.
        assert np.abs(means[0] - means[1]).mean() > 6, name


def test_scikit_image_is_found_but_not_imported():
    code = (
        "import sys; from isegbench.datasets.samples import Samples; Samples().instances(); "
        "sys.exit('skimage' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_missing_photograph_names_it_and_scikit_image(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for name in ["astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg"]:
        (tmp_path / "data" / name).touch()
    monkeypatch.setattr(samples, "find_spec", lambda _: FoundAt(tmp_path))
    with pytest.raises(UserError, match=r"scikit-image in .* has no coins\.png: reinstall it"):
        Samples()


def test_without_scikit_image_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(samples, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="pip install scikit-image"):
        Samples()


def test_a_photograph_of_another_size_is_refused():
    ref = Samples().instances()[0]
    other = Blob(PHOTOGRAPHS / "coffee.png")
    with pytest.raises(DataError, match=r"512x512 but image .*coffee\.png is 600x400"):
        replace(ref, image=other).load()


class FoundAt:
    """What find_spec answers for a package in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.submodule_search_locations = [str(folder)]
