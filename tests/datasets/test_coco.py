import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask
from skimage.draw import polygon2mask

from isegbench.datasets.coco import decode_annotation, encode_annotation
from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets

SIZE = {"height": 30, "width": 40}
SQUARE = [[5, 6, 15, 6, 15, 16, 5, 16]]


@pytest.fixture
def annotations(tmp_path, write_image):
    """(file, content): two images, three annotations out of order, and a crowd."""
    for name in ("x.jpg", "y.png"):
        write_image(tmp_path / "images" / name, 30, 40)
    runs = {"size": [30, 40], "counts": [100, 50, 1050]}
    content = {
        "images": [
            {"id": 7, "file_name": "x.jpg", **SIZE},
            {"id": 3, "file_name": "y.png", **SIZE},
        ],
        "annotations": [
            {"id": 1, "image_id": 3, "segmentation": SQUARE, "iscrowd": 0},
            {"id": 2, "image_id": 7, "segmentation": runs},
            {"id": 3, "image_id": 3, "segmentation": runs, "iscrowd": 1},
            {"id": 4, "image_id": 3, "segmentation": SQUARE * 2, "iscrowd": 0},
        ],
    }
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    return file, content


def test_instances(annotations, same_when_held):
    file, _ = annotations
    dataset = datasets.build(f"coco:{file}")
    refs = dataset.instances()
    assert len(dataset) == 3
    assert [ref.name for ref in refs] == ["7#2", "3#1", "3#4"]
    assert [ref.image_name for ref in refs] == ["7", "3", "3"]
    column_major = np.zeros(1200, bool)
    column_major[100:150] = True
    np.testing.assert_array_equal(refs[0].load().mask == 1, column_major.reshape(40, 30).T)
    assert refs[1].load().mask[6:16, 5:15].all()
    assert refs[1].load().mask.sum() <= 121
    for ref in refs:
        same_when_held(ref)


def test_real_annotations(shared, same_when_held):
    """Every mask against pycocotools' own reader of the whole file."""
    from pycocotools.coco import COCO

    file = shared("data", "COCO_inst", "instances.json")
    reader = COCO(str(file))
    refs = datasets.build(f"coco:{file}").instances()
    everything = json.loads(file.read_text())["annotations"]
    assert len(everything) == 366
    assert len(refs) == sum(not annotation["iscrowd"] for annotation in everything) == 365
    for ref in refs:
        annotation = reader.anns[int(ref.name.split("#")[1])]
        assert ref.image_name == str(annotation["image_id"])
        instance = ref.load()
        np.testing.assert_array_equal(instance.mask, reader.annToMask(annotation))
        assert 0.9 < (instance.mask.sum() + 30) / (annotation["area"] + 30) < 1.3
    same_when_held(refs[0])


@settings(max_examples=150, deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=60), elements=st.booleans()))
def test_compressed_run_lengths(mask):
    runs = coco_mask.encode(np.asfortranarray(mask))
    counts = runs["counts"]
    assert isinstance(counts, bytes)
    annotation = {"segmentation": {"size": list(runs["size"]), "counts": counts.decode()}}
    size = {"height": mask.shape[0], "width": mask.shape[1]}
    np.testing.assert_array_equal(decode_annotation(encode_annotation(annotation, size)), mask)


def test_polygons_are_filled_like_another_library_does():
    points = [(3.0, 2.0), (33.0, 8.0), (25.0, 27.0), (8.0, 21.0)]  # (x, y)
    annotation = {"segmentation": [[value for point in points for value in point]]}
    ours = decode_annotation(encode_annotation(annotation, SIZE)).astype(bool)
    other = polygon2mask((30, 40), [(y - 0.5, x - 0.5) for x, y in points])
    assert (ours & other).sum() / (ours | other).sum() > 0.93  # they differ along the border


@pytest.mark.parametrize(
    ("segmentation", "size", "message"),
    [
        (None, SIZE, "no segmentation"),
        ([], SIZE, "no segmentation"),
        (SQUARE, {}, "no height and width"),
        ([[1, 2, 3, 4]], SIZE, "three points"),
        ([1, 2, 3, 4, 5, 6], SIZE, "three points"),
        ({"size": [30, 41], "counts": [0, 1230]}, SIZE, "are for"),
        ({"size": [30, 40], "counts": [0, 100]}, SIZE, "add up to 100"),
        ({"size": [30, 40], "counts": [1300, -100]}, SIZE, "add up to 1200"),
        ({"size": [30, 40], "counts": "0T3"}, SIZE, "add up to 100"),
        ({"size": [30, 40], "counts": "0T"}, SIZE, "within a number"),
        ({"size": [30, 40], "counts": "0 "}, SIZE, "character"),
    ],
)
def test_damaged_annotations(segmentation, size, message):
    data = encode_annotation({"segmentation": segmentation}, size)
    with pytest.raises(DataError, match=message):
        decode_annotation(data)


def test_a_bad_annotation_costs_only_itself(annotations):
    file, content = annotations
    content["annotations"][0]["segmentation"] = [[0, 0, 0, 0, 0, 0]]
    content["annotations"][3]["image_id"] = 99
    file.write_text(json.dumps(content))
    refs = {ref.name: ref for ref in datasets.build(f"coco:{file}").instances()}
    assert list(refs) == ["7#2", "3#1", "99#4"]
    refs["7#2"].load()
    with pytest.raises(DataError, match="no object pixel"):
        refs["3#1"].load()
    with pytest.raises(DataError, match="no image has id 99"):
        refs["99#4"].load()


def test_where_images_are_looked_for(annotations, tmp_path):
    file, _ = annotations
    (tmp_path / "images").rename(tmp_path / "val2017")
    with pytest.raises(UserError, match="images=FOLDER"):
        datasets.build(f"coco:{file}")
    assert len(datasets.build(f"coco:{file},images={tmp_path / 'val2017'}")) == 3
    (tmp_path / "annotations").mkdir()
    moved = file.rename(tmp_path / "annotations/instances_val2017.json")
    datasets.build(f"coco:{moved}").instances()[0].load()
    with pytest.raises(UserError, match="no such folder"):
        datasets.build(f"coco:{moved},images={tmp_path / 'nowhere'}")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda c: c.pop("images"), "no list called 'images'"),
        (lambda c: c["annotations"][2].pop("id"), r"annotations\[2\] has no 'id'"),
        (lambda c: c["images"][1].pop("file_name"), r"images\[1\] has no 'file_name'"),
        (lambda c: c["annotations"][2].update(id=1), "id 1 twice"),
        (lambda c: c["annotations"].clear(), "not a crowd"),
    ],
)
def test_files_that_are_not_coco(annotations, harm, message):
    file, content = annotations
    harm(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        datasets.build(f"coco:{file}")


def test_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        datasets.build(f"coco:{tmp_path / 'x.json'}")
    (tmp_path / "x.json").write_text('{"images": [')
    with pytest.raises(UserError, match="JSON"):
        datasets.build(f"coco:{tmp_path / 'x.json'}")
    (tmp_path / "x.json").write_text("[1]")
    with pytest.raises(UserError, match="expected an object"):
        datasets.build(f"coco:{tmp_path / 'x.json'}")
