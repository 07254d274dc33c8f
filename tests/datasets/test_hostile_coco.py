"""Annotation files that were written to do harm: each bad annotation costs itself alone."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.datasets.coco import decode_annotation, encode_annotation
from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets

SIZE = {"height": 30, "width": 40}
SQUARE = [[5, 6, 15, 6, 15, 16, 5, 16]]
ZIGZAG = [[0, 0] + [0, 0, 40, 30] * 40_000]


def runs(counts, size=(30, 40)):
    return {"size": list(size), "counts": counts}


@pytest.mark.parametrize(
    ("segmentation", "size", "message"),
    [
        (SQUARE, {"height": 200_000, "width": 200_000}, "too large"),
        (SQUARE, {"height": 10**500, "width": 1}, "no height and width"),
        (SQUARE, {"height": True, "width": True}, "no height and width"),
        (SQUARE, {"height": 30.5, "width": 40}, "no height and width"),
        ([[1e8, 0, 1e8, 9, 0, 9]], SIZE, "far outside"),
        ([[1e300, 0, 10, 9, 0, 9]], SIZE, "far outside"),
        ([[10**400, 0, 10, 9, 0, 9]], SIZE, "finite number"),
        ([[-41, 0, 10, 9, 0, 9]], SIZE, "far outside"),
        ([[0, 61, 10, 9, 0, 9]], SIZE, "far outside"),
        ([[float("nan"), 0, 10, 9, 0, 9]], SIZE, "finite number"),
        ([[float("inf"), 0, 10, 9, 0, 9]], SIZE, "finite number"),
        ([["7", 0, 10, 9, 0, 9]], SIZE, "finite number"),
        ([[None, 0, 10, 9, 0, 9]], SIZE, "finite number"),
        ([[[1], 0, 10, 9, 0, 9]], SIZE, "finite number"),
        (ZIGZAG, SIZE, "outline"),
        (runs([100.5, 1099.5]), SIZE, "whole numbers"),
        (runs([-100, 1300]), SIZE, "add up"),
        (runs([10**400]), SIZE, "whole numbers"),
        (runs(["1200"]), SIZE, "whole numbers"),
        (runs(5), SIZE, "whole numbers"),
        (runs(None), SIZE, "whole numbers"),
        (runs("o" * 100_000), SIZE, "too large"),
        (runs([1200], size=("30", "40")), SIZE, "are for"),
        ({"counts": [1200]}, SIZE, "are for"),
        ({"size": [30, 40]}, SIZE, "whole numbers"),
        ("polygon", SIZE, "neither polygons nor run lengths"),
        (7, SIZE, "neither polygons nor run lengths"),
    ],
)
def test_a_bad_annotation_is_refused_before_it_is_decoded(segmentation, size, message):
    data = encode_annotation({"segmentation": segmentation}, size)
    with pytest.raises(DataError, match=message):
        decode_annotation(data)


def test_a_polygon_may_reach_beyond_its_image():
    polygon = [[-40, -30, 80, -30, 80, 60, -40, 60]]
    mask = decode_annotation(encode_annotation({"segmentation": polygon}, SIZE))
    assert mask.all()


NUMBERS = st.one_of(
    st.floats(-45, 90), st.integers(-45, 90), st.sampled_from([0, -40, 80, 1e8, 1e300, -0.0])
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(NUMBERS, max_size=14), max_size=4))
def test_any_polygon_gives_a_mask_or_an_error(polygons):
    try:
        mask = decode_annotation(encode_annotation({"segmentation": polygons}, SIZE))
    except DataError:
        return
    assert mask.shape == (30, 40)
    assert set(np.unique(mask)) <= {0, 1}


def coco_file(folder, write_image, images, annotations, **more):
    write_image(folder / "images" / "x.png", 30, 40)
    file = folder / "instances.json"
    good = {"id": 900, "file_name": "x.png", **SIZE}
    whole = {"id": 901, "image_id": 900, "segmentation": SQUARE}
    file.write_text(
        json.dumps({"images": [good, *images], "annotations": [whole, *annotations], **more})
    )
    return file


@pytest.mark.parametrize(
    "record",
    [
        {"height": 200_000, "width": 200_000},
        {"height": 10_000, "width": 10_000},
        {"height": "30", "width": "40"},
        {},
        {"file_name": 5, **SIZE},
        {"file_name": ["x.png"], **SIZE},
        {"file_name": "a\0b.png", **SIZE},
        {"file_name": "\ud800.png", **SIZE},
    ],
)
@pytest.mark.parametrize("kind", ["coco", "boxes"])
def test_a_bad_image_record_costs_only_its_own(tmp_path, write_image, record, kind):
    if kind == "boxes" and set(record) <= {"height", "width"} and record.get("height") != 200_000:
        record = {"height": 10_000, "width": 10_000}
    bad = {"id": 1, "file_name": "x.png", **record}
    note = {"id": 2, "image_id": 1, "segmentation": SQUARE, "bbox": [1, 1, 5, 5]}
    file = coco_file(tmp_path, write_image, [bad], [note])
    if kind == "boxes":
        content = json.loads(file.read_text())
        content["annotations"][0]["bbox"] = [5, 5, 9, 9]
        file.write_text(json.dumps(content))
    whole, damaged = datasets.build(f"{kind}:{file},images={tmp_path / 'images'}").instances()
    assert whole.load().mask.any()
    assert damaged.image.size >= 0
    with pytest.raises(DataError) as caught:
        damaged.load()
    assert len(str(caught.value)) < 1000


def test_an_image_record_is_compared_with_the_image_before_decoding(tmp_path, write_image):
    """10,000 x 10,000 is allowed, but the image's header says otherwise."""
    bad = {"id": 1, "file_name": "x.png", "height": 10_000, "width": 10_000}
    file = coco_file(
        tmp_path, write_image, [bad], [{"id": 2, "image_id": 1, "segmentation": SQUARE}]
    )
    _, damaged = datasets.build(f"coco:{file}").instances()
    with pytest.raises(DataError, match="says 10000x10000, but the image is 40x30"):
        damaged.load()


@pytest.mark.parametrize("image_id", [[1], {"a": 1}, None, True])
def test_a_stray_image_id(tmp_path, write_image, image_id):
    stray = {"id": 2, "image_id": image_id, "segmentation": SQUARE}
    _, damaged = datasets.build(f"coco:{coco_file(tmp_path, write_image, [], [stray])}").instances()
    with pytest.raises(DataError, match="no image has id"):
        damaged.load()


@pytest.mark.parametrize(
    ("images", "annotations", "message"),
    [
        ([{"id": [1], "file_name": "x.png"}], [], "neither a number nor text"),
        ([], [{"id": {}, "image_id": 900}], "neither a number nor text"),
        ([], [{"id": float("nan"), "image_id": 900}], "neither a number nor text"),
        ([], [{"id": "901", "image_id": 900}], "twice"),
        ([7], [], "has no 'id'"),
    ],
)
def test_bad_ids_are_the_file_s(tmp_path, write_image, images, annotations, message):
    file = coco_file(tmp_path, write_image, images, annotations)
    with pytest.raises(UserError, match=message):
        datasets.build(f"coco:{file}")


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 200_000, "9" * 5000, "", "\0"])
def test_what_is_no_json(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    with pytest.raises(UserError):
        datasets.build(f"coco:{file}")


@pytest.mark.parametrize("given", [5, ["name"], [{"name": "no id"}], [{"id": [1]}]])
def test_bad_categories(tmp_path, write_image, given):
    file = coco_file(tmp_path, write_image, [], [], categories=given)
    with pytest.raises(UserError, match="categories"):
        datasets.build(f"boxes:{file},images={tmp_path / 'images'}")


def test_little_memory_is_enough(tmp_path):
    """In a process that may take 2 GiB: nothing is reserved for what is refused."""
    code = """
import resource
from isegbench.datasets.coco import decode_annotation, encode_annotation
from isegbench.harness.errors import DataError
import pycocotools.mask
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
huge = {"height": 200_000, "width": 200_000}
small = {"height": 30, "width": 40}
for segmentation, size in (
    ([[0, 0, 9, 0, 9, 9]], huge),
    ([[0, 0, 1e8, 0, 9, 1e8]], small),
    ([[0, 0, 1e300, 0, 9, 9]], small),
    ({"size": [200_000, 200_000], "counts": [4 * 10**10]}, huge),
    ({"size": [30, 40], "counts": [0.5] * 2400}, small),
):
    try:
        decode_annotation(encode_annotation({"segmentation": segmentation}, size))
    except DataError:
        print("refused")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["refused"] * 5, done.stderr
