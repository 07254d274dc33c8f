"""Boxes without masks: which pixels a box covers, and the files that boxes come in."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from isegbench.datasets.boxes import pixels_of
from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets
from isegbench.harness.types import Box

HUNDREDTHS = st.integers(-500, 2000).map(lambda n: n / 100)


@given(HUNDREDTHS, HUNDREDTHS, st.integers(1, 900), st.integers(1, 900))
def test_a_box_covers_every_pixel_it_touches(x, y, wide, tall):
    """Against the definition, pixel by pixel, in exact fractions of hundredths."""
    height, width = 9, 12

    def touched(start, length, size):
        low = Fraction(round(start * 100), 100)
        high = low + Fraction(length, 100)
        return [i for i in range(size) if i < high and i + 1 > low]

    rows, columns = touched(y, tall, height), touched(x, wide, width)
    if rows and columns:
        expected = Box(rows[0], columns[0], rows[-1], columns[-1])
        assert pixels_of([x, y, wide / 100, tall / 100], height, width) == expected
    else:
        with pytest.raises(DataError, match="outside"):
            pixels_of([x, y, wide / 100, tall / 100], height, width)


@pytest.mark.parametrize(
    ("bbox", "why"),
    [
        (None, "not .x, y, width, height"),
        ([1, 2, 3], "not .x, y, width, height"),
        ([1, 2, "wide", 3], "not .x, y, width, height"),
        ([1, 2, 0, 3], "empty"),
        ([1, 2, 3, -1], "empty"),
        ([1, 2, math.nan, 3], "finite"),
        ([1, 2, math.inf, 3], "finite"),
        ([12, 2, 3, 3], "outside"),
        ([-3, 2, 3, 3], "outside"),
    ],
)
def test_a_bad_box_says_what_is_wrong(bbox, why):
    with pytest.raises(DataError, match=why):
        pixels_of(bbox, 9, 12)


def covered(instance):
    ys, xs = np.nonzero(instance.mask)
    assert (instance.mask == 1).sum() == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)
    return ys.min(), xs.min(), ys.max(), xs.max()


def write_coco(folder, annotations, **size):
    content = {
        "images": [{"id": 7, "file_name": "sub/x.png", **size}],
        "annotations": annotations,
        "categories": [{"id": 5, "name": "cat"}],
    }
    (folder / "boxes.json").write_text(json.dumps(content))
    return datasets.build(f"boxes:{folder / 'boxes.json'},images={folder / 'images'}")


def test_coco(tmp_path, write_image, same_when_held):
    write_image(tmp_path / "images/sub/x.png", 30, 40)
    annotations = [
        {"id": 1, "image_id": 7, "bbox": [3.4, 5.0, 10.2, 6.0], "category_id": 5},
        {"id": 2, "image_id": 7, "bbox": [0, 0, 40, 30], "category_id": 5, "iscrowd": 1},
        {"id": 3, "image_id": 7, "bbox": [0, 0, 0, 30], "category_id": 5},
        {"id": 4, "image_id": 7, "category_id": 6},
        {"id": 5, "image_id": 8, "bbox": [1, 1, 2, 2], "category_id": 5},
    ]
    dataset = write_coco(tmp_path, annotations, height=30, width=40)
    refs = dataset.instances()
    assert [ref.name for ref in refs] == ["7#1", "7#3", "7#4", "8#5"]
    assert [box.instance for box in dataset.boxes()] == [ref.name for ref in refs]
    assert (len(dataset), dataset.crowds) == (4, 1)
    assert dataset.categories == [{"id": 5, "name": "cat"}, {"id": 6, "name": "6"}]
    assert covered(refs[0].load()) == (5, 3, 10, 13)
    same_when_held(refs[0])
    assert refs[0].image is refs[1].image
    for ref, why in zip(refs[1:], ("empty", "bbox None", "no image has id 8"), strict=True):
        with pytest.raises(DataError, match=why):
            ref.load()


def test_the_image_says_how_large_it_is_where_nobody_else_does(tmp_path):
    (tmp_path / "images/sub").mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # lying on its side
    Image.new("RGB", (30, 40)).save(tmp_path / "images/sub/x.png", exif=exif)
    box = {"id": 1, "image_id": 7, "bbox": [35, 25, 100, 100], "category_id": 5}
    (ref,) = write_coco(tmp_path, [box]).instances()
    assert covered(ref.load()) == (25, 35, 29, 39)
    (ref,) = write_coco(tmp_path, [box], height=40, width=30).instances()
    with pytest.raises(DataError, match="outside|same size"):
        ref.load()


def test_other_boxes_have_another_digest(tmp_path, write_image):
    write_image(tmp_path / "images/sub/x.png", 30, 40)
    box = {"id": 1, "image_id": 7, "bbox": [3, 5, 10, 6], "category_id": 5}
    digests = [
        write_coco(tmp_path, [box | change], height=30, width=40).digest()
        for change in ({}, {"bbox": [3, 5, 10, 7]}, {"id": 2}, {"category_id": 1})
    ]
    assert len(set(digests)) == 4
    assert write_coco(tmp_path, [box], height=30, width=40).digest() == digests[0]


def xml(filename, objects, size=(30, 40)):
    parts = "".join(
        f"<object><name>{name}</name><part><name>head</name><bndbox><xmin>1</xmin><ymin>1</ymin>"
        f"<xmax>2</xmax><ymax>2</ymax></bndbox></part><difficult>1</difficult><bndbox>"
        f"<xmin>{sides[0]}</xmin><ymin>{sides[1]}</ymin><xmax>{sides[2]}</xmax>"
        f"<ymax>{sides[3]}</ymax></bndbox></object>"
        for name, sides in objects
    )
    return (
        f"<annotation><filename>{filename}</filename><size><width>{size[1]}</width>"
        f"<height>{size[0]}</height><depth>3</depth></size>{parts}</annotation>"
    )


def test_voc_counts_from_one_and_includes_the_last(tmp_path, write_image, same_when_held):
    write_image(tmp_path / "JPEGImages/a.jpg", 30, 40)
    (tmp_path / "Annotations").mkdir()
    file = tmp_path / "Annotations/a.xml"
    file.write_text(xml("a.jpg", [("dog", (1, 1, 40, 30)), ("cat", (4, 6, 4, 9))]))
    for given_path in (file, file.parent):
        dataset = datasets.build(f"boxes:{given_path},images={tmp_path / 'JPEGImages'}")
        refs = dataset.instances()
        assert [ref.name for ref in refs] == ["a#1", "a#2"]
        assert covered(refs[0].load()) == (0, 0, 29, 39)
        assert covered(refs[1].load()) == (5, 3, 8, 3)
        same_when_held(refs[1])
        assert dataset.categories == [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]
        assert [box.category_id for box in dataset.boxes()] == [2, 1]
        assert [box.bbox for box in dataset.boxes()] == [[0, 0, 40, 30], [3, 5, 1, 4]]
        assert dataset.images == [{"id": 1, "file_name": "a.jpg", "height": 30, "width": 40}]


def test_ilsvrc_folders_are_mirrored(tmp_path, write_image):
    """Sub-folders a synset, names without suffix, a name that is a placeholder, no size."""
    boxes, images = tmp_path / "Annotation", tmp_path / "train"
    for number, (name, size) in enumerate({"n01_1": (30, 40), "n01_2": (0, 0)}.items()):
        write_image(images / f"n01/{name}.JPEG", 30, 40, number)
        (boxes / "n01").mkdir(parents=True, exist_ok=True)
        text = xml("%s" if number else name, [("n01", (2, 3, 20, 21))], size)
        (boxes / f"n01/{name}.xml").write_text(text)
    write_image(images / "elsewhere.JPEG", 30, 40)
    (boxes / "n01/other.xml").write_text(xml("elsewhere", [("n01", (2, 3, 20, 21))]))
    (boxes / "n01/cut.xml").write_text(xml("n01_1", [("n01", (2, 3, 20, 21))])[:-30])
    (boxes / "n01/gone.xml").write_text(xml("gone", [("n01", (2, 3, 20, 21))]))
    dataset = datasets.build(f"boxes:{boxes},images={images}")
    refs = {ref.name: ref for ref in dataset.instances()}
    whole = ["n01_1#1", "n01_2#1", "other#1"]
    assert list(refs) == [f"n01/{name}" for name in ("cut#?", "gone#1", *whole)]
    for name in whole:
        assert covered(refs[f"n01/{name}"].load()) == (2, 1, 20, 19)
    with pytest.raises(DataError, match="cannot be read as XML|cut"):
        refs["n01/cut#?"].load()
    with pytest.raises(DataError, match=r"gone\.\*"):
        refs["n01/gone#1"].load()
    assert dataset.categories == [{"id": 1, "name": "n01"}]


def test_what_cannot_be_used_at_all_is_said(tmp_path):
    (tmp_path / "cut.xml").write_text("<annotation>")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "none.json").write_text('{"images": [], "annotations": []}')
    for file, why in {
        "cut.xml": "cannot be read as XML",
        "list.json": "expected an object",
        "none.json": "no box",
        "gone.json": "no such file",
        "gone.xml": "no such file",
    }.items():
        with pytest.raises(UserError, match=why):
            datasets.build(f"boxes:{tmp_path / file},images={tmp_path}")
    with pytest.raises(UserError, match="no such folder"):
        datasets.build(f"boxes:{tmp_path / 'none.json'},images={tmp_path / 'nowhere'}")
