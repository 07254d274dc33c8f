import cv2
import numpy as np
import pytest

from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets


@pytest.fixture
def folder(tmp_path, write_image):
    """photos/{Images,Masks}: a.jpg and b.PNG with masks of the values 0, 3, 128 and 255."""
    root = tmp_path / "photos"
    (root / "Masks").mkdir(parents=True)
    for name in ("a.jpg", "b.PNG"):
        write_image(root / "Images" / name, 20, 30)
        mask = np.zeros((20, 30), np.uint8)
        mask[2:5, 2:5], mask[8:12, 8:12], mask[15:18, 20:28] = 3, 128, 255
        cv2.imwrite(str(root / "Masks" / f"{name[0]}.png"), mask)
    return root


@pytest.mark.parametrize(
    ("settings", "objects", "ignored"),
    [
        ("", {3, 128, 255}, set()),
        (",ignore=128", {3, 255}, {128}),
        (",threshold=127", {128, 255}, set()),
        (",threshold=127,ignore=128", {255}, {128}),
    ],
)
def test_one_object_per_mask(folder, same_when_held, settings, objects, ignored):
    refs = datasets.build(f"folder:{folder}{settings}").instances()
    assert [(ref.name, ref.image_name) for ref in refs] == [("a", "a"), ("b", "b")]
    values = cv2.imread(str(folder / "Masks/a.png"), cv2.IMREAD_UNCHANGED)
    assert values is not None
    for ref in refs:
        mask = ref.load().mask
        np.testing.assert_array_equal(mask == 1, np.isin(values, list(objects)))
        np.testing.assert_array_equal(mask == 255, np.isin(values, list(ignored)))
        same_when_held(ref)


def test_indexed_masks(folder, same_when_held):
    refs = datasets.build(f"folder:{folder},indexed=true,ignore=255").instances()
    assert [ref.name for ref in refs] == ["a#3", "a#128", "b#3", "b#128"]
    values = cv2.imread(str(folder / "Masks/a.png"), cv2.IMREAD_UNCHANGED)
    for ref, number in zip(refs, (3, 128, 3, 128), strict=True):
        mask = ref.load().mask
        np.testing.assert_array_equal(mask == 1, values == number)
        np.testing.assert_array_equal(mask == 255, values == 255)
        same_when_held(ref)
    with pytest.raises(UserError, match="threshold"):
        datasets.build(f"folder:{folder},indexed=true,threshold=3")


def test_several_mask_files_of_one_image(folder, write_image):
    write_image(folder / "Images/c.jpg", 20, 30)
    for number in (1, 2):
        mask = np.zeros((20, 30), np.uint8)
        mask[number, number] = 255
        (folder / "Masks/c").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"Masks/c/cell{number}.png"), mask)
    refs = datasets.build(f"folder:{folder}").instances()
    assert [ref.name for ref in refs] == ["a", "b", "c#cell1", "c#cell2"]
    assert [ref.image_name for ref in refs[2:]] == ["c", "c"]
    assert [np.argwhere(ref.load().mask).tolist() for ref in refs[2:]] == [[[1, 1]], [[2, 2]]]


def test_folders_by_name(folder):
    (folder / "Images").rename(folder / "input")
    (folder / "Masks").rename(folder / "alpha")
    with pytest.raises(UserError, match=r"which folder holds the images.*images=NAME"):
        datasets.build(f"folder:{folder}")
    dataset = datasets.build(f"folder:{folder},images=input,masks={folder / 'alpha'}")
    assert len(dataset) == 2
    with pytest.raises(UserError, match="masks=nowhere"):
        datasets.build(f"folder:{folder},images=input,masks=nowhere")
    (folder / "alpha").rename(folder / "gt")
    (folder / "labels").mkdir()
    with pytest.raises(UserError, match="both gt and labels"):
        datasets.build(f"folder:{folder},images=input")


def test_an_image_is_missing(folder):
    (folder / "Images/a.jpg").unlink()
    bad, good = datasets.build(f"folder:{folder}").instances()
    with pytest.raises(DataError, match=r"Images/a\.\*"):
        bad.load()
    good.load()
    (folder / "Images/b.PNG").unlink()
    with pytest.raises(UserError, match="none of the 2 masks"):
        datasets.build(f"folder:{folder}")


def test_wrong_paths_and_values(folder, tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        datasets.build(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(UserError, match="ignore"):
        datasets.build(f"folder:{folder},ignore=grey")
    for mask in (folder / "Masks").iterdir():
        mask.unlink()
    with pytest.raises(UserError, match="holds no mask"):
        datasets.build(f"folder:{folder}")


def test_agrees_with_the_rules_of_the_real_sets(shared):
    root = shared("data")
    for name, spec in {
        "grabcut": f"folder:{root / 'GrabCut'},ignore=128",
        "davis": f"folder:{root / 'DAVIS'}",
    }.items():
        pairs = zip(
            datasets.build(name, data_root=root).instances(),
            datasets.build(spec).instances(),
            strict=True,
        )
        for ours, theirs in pairs:
            assert ours.name == theirs.name
            np.testing.assert_array_equal(
                ours.decode_mask(ours.mask.read()), theirs.decode_mask(theirs.mask.read())
            )
