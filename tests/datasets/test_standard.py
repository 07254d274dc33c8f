import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets

FOLDERS = {"grabcut": "GrabCut", "berkeley": "Berkeley", "davis": "DAVIS"}


@pytest.mark.parametrize(
    ("name", "masks", "images"),
    [("grabcut", 50, 50), ("berkeley", 100, 96), ("davis", 48, 48), ("coco_mval", 80, 80)],
)
def test_real_sets_list_load_and_travel(shared, same_when_held, name, masks, images):
    dataset = datasets.build(name, data_root=shared("data"))
    refs = dataset.instances()
    assert len(dataset) == len(refs) == len({ref.name for ref in refs}) == masks
    assert len({ref.image_name for ref in refs}) == images
    for ref in refs:
        instance = ref.load()
        assert instance.dataset == name
        assert set(np.unique(instance.mask)) <= {0, 1, 255}
    same_when_held(refs[0])


def test_order_is_that_of_the_image_files(shared):
    root = shared("data")
    for name, folder in {"grabcut": "GrabCut/data_GT", "berkeley": "Berkeley/images"}.items():
        files = sorted((root / folder).iterdir())
        refs = datasets.build(name, data_root=root).instances()
        assert [ref.name for ref in refs] == [file.stem for file in files]
        assert [ref.image.data for ref in refs] == files


@pytest.mark.parametrize("name", FOLDERS)
def test_arrays_are_those_of_the_released_code(shared, name):
    golden = json.loads(shared("goldens", "ritm_hrnet18s", "e2e_NoBRS.json").read_text())
    rows = {row["name"]: row for row in golden["rows"] if row["dataset"] == FOLDERS[name]}
    refs = {ref.name: ref for ref in datasets.build(name, data_root=shared("data")).instances()}
    assert len(rows) >= 2
    for stem, row in rows.items():
        instance = refs[stem].load()
        mask = instance.mask.astype(np.int32)
        mask[mask == 255] = -1
        assert hashlib.sha1(instance.image.tobytes()).hexdigest() == row["image_sha1"]
        assert hashlib.sha1(mask.tobytes()).hexdigest() == row["mask_sha1"]


def test_berkeley_image_names_are_photographs(shared):
    refs = datasets.build("berkeley", data_root=shared("data")).instances()
    pixels: dict[str, set[str]] = {}
    for ref in refs:
        digest = hashlib.sha1(ref.load().image.tobytes()).hexdigest()
        pixels.setdefault(ref.image_name, set()).add(digest)
    assert all(len(found) == 1 for found in pixels.values())
    assert len(set.union(*pixels.values())) == len(pixels)


@pytest.fixture
def grabcut_root(tmp_path: Path, write_image) -> Path:
    for index, image in enumerate(["a.JPG", "b.bmp", "c.jpg"]):
        write_image(tmp_path / "GrabCut/data_GT" / image, 30, 40, seed=index)
    masks = tmp_path / "GrabCut/boundary_GT"
    masks.mkdir()
    for stem in "abc":
        mask = np.zeros((30, 40), np.uint8)
        mask[10:20, 10:20] = 255
        assert cv2.imwrite(str(masks / f"{stem}.bmp"), mask)
    return tmp_path


def test_trimap_rule_on_every_value(grabcut_root):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    mask = np.zeros((30, 40, 3), np.uint8)
    mask[:16, :16, 0] = values  # blue; the other channels must not matter
    mask[:, :, 1] = 200
    cv2.imwrite(str(grabcut_root / "GrabCut/boundary_GT/a.bmp"), mask)
    loaded = datasets.build("grabcut", data_root=grabcut_root).instances()[0].load().mask
    for value in range(256):
        expected = 255 if value == 128 else int(value > 128 or value == 1)
        assert loaded[value // 16, value % 16] == expected, value


def test_any_colour_rule(tmp_path, write_image):
    write_image(tmp_path / "DAVIS/img/x.jpg", 8, 9)
    mask = np.zeros((8, 9, 3), np.uint8)
    mask[1, 1, 0] = mask[2, 2, 1] = mask[3, 3, 2] = 1
    (tmp_path / "DAVIS/gt").mkdir()
    cv2.imwrite(str(tmp_path / "DAVIS/gt/x.png"), mask)
    (ref,) = datasets.build("davis", data_root=tmp_path).instances()
    assert np.argwhere(ref.load().mask == 1).tolist() == [[1, 1], [2, 2], [3, 3]]


def _half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _spoil_size(root: Path) -> None:
    cv2.imwrite(str(root / "GrabCut/boundary_GT/a.bmp"), np.full((31, 40), 255, np.uint8))


def _spoil_mask(root: Path) -> None:
    cv2.imwrite(str(root / "GrabCut/boundary_GT/a.bmp"), np.zeros((30, 40), np.uint8))


SPOILERS = {
    "truncated image": (lambda root: _half(root / "GrabCut/data_GT/a.JPG"), "truncated"),
    "truncated mask": (lambda root: _half(root / "GrabCut/boundary_GT/a.bmp"), "damaged"),
    "empty image": (lambda root: (root / "GrabCut/data_GT/a.JPG").write_bytes(b""), "empty"),
    "no image": (lambda root: (root / "GrabCut/data_GT/a.JPG").unlink(), "No such file"),
    "not an image": (
        lambda root: (root / "GrabCut/data_GT/a.JPG").write_text("<html>"),
        "not an image",
    ),
    "other size": (_spoil_size, "40x31.*40x30"),
    "empty mask": (_spoil_mask, "no object pixel"),
}


@pytest.mark.parametrize("what", SPOILERS)
def test_a_bad_instance_costs_only_itself(grabcut_root, what):
    spoil, message = SPOILERS[what]
    spoil(grabcut_root)
    bad, *good = datasets.build("grabcut", data_root=grabcut_root).instances()
    with pytest.raises(DataError, match=message) as caught:
        bad.load()
    assert "a." in str(caught.value) or "instance a" in str(caught.value)
    assert [ref.load().name for ref in good] == ["b", "c"]


def test_an_image_without_mask_is_no_instance(grabcut_root, write_image):
    write_image(grabcut_root / "GrabCut/data_GT/d.jpg", 30, 40)
    (grabcut_root / "GrabCut/boundary_GT/.hidden.bmp").write_bytes(b"")
    (grabcut_root / "GrabCut/boundary_GT/Thumbs.db").write_bytes(b"")
    refs = datasets.build("grabcut", data_root=grabcut_root).instances()
    assert [ref.name for ref in refs] == ["a", "b", "c"]


def test_missing_sets_say_where_and_how(tmp_path, monkeypatch):
    with pytest.raises(UserError) as caught:
        datasets.build("davis", data_root=tmp_path)
    for part in (str(tmp_path / "DAVIS"), "isegbench data download davis", "--data-root"):
        assert part in str(caught.value)
    monkeypatch.setenv("ISEGBENCH_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match="elsewhere"):
        datasets.build("davis", data_root=None)
    monkeypatch.delenv("ISEGBENCH_DATA")
    monkeypatch.setenv("ISEGBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError, match=r"cache/data/DAVIS"):
        datasets.build("davis", data_root=None)


def test_incomplete_and_empty_folders_are_refused(grabcut_root):
    masks = grabcut_root / "GrabCut/boundary_GT"
    for mask in masks.iterdir():
        mask.unlink()
    with pytest.raises(UserError, match="holds no mask"):
        datasets.build("grabcut", data_root=grabcut_root)
    shutil.rmtree(masks)
    with pytest.raises(UserError, match="lacks boundary_GT"):
        datasets.build("grabcut", data_root=grabcut_root)


def test_two_files_of_one_name_are_refused(grabcut_root):
    masks = grabcut_root / "GrabCut/boundary_GT"
    shutil.copy(masks / "a.bmp", masks / "a.png")
    with pytest.raises(UserError, match=r"a\.bmp and a\.png"):
        datasets.build("grabcut", data_root=grabcut_root)
