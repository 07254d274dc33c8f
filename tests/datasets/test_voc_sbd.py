import numpy as np
import pytest

from isegbench.harness.errors import DataError, UserError
from isegbench.harness.registry import datasets

NAMES = ["b#1", "b#2", "b#5", "2008_000002#1"]


@pytest.mark.parametrize("name", ["voc", "sbd"])
def test_every_object_is_an_instance(name, request, object_maps, same_when_held):
    root = request.getfixturevalue(f"{name}_root")
    refs = datasets.build(name, data_root=root).instances()
    assert [ref.name for ref in refs] == NAMES
    assert [ref.image_name for ref in refs] == ["b", "b", "b", "2008_000002"]
    for ref in refs:
        image, _, number = ref.name.partition("#")
        mask = ref.load().mask
        np.testing.assert_array_equal(mask == 1, object_maps[image] == int(number))
        ignored = object_maps[image] == 255 if name == "voc" else np.zeros_like(mask, bool)
        np.testing.assert_array_equal(mask == 255, ignored)
        same_when_held(ref)


def test_splits(voc_root, sbd_root):
    voc = datasets.build(f"voc:{voc_root / 'VOC2012'},split=train")
    assert [ref.name for ref in voc.instances()] == ["2008_000002#1"]
    sbd = datasets.build("sbd:split=train", data_root=sbd_root)
    assert [(r.dataset, r.name) for r in sbd.instances()] == [("sbd:split=train", "2008_000002#1")]
    with pytest.raises(UserError, match="split"):
        datasets.build("sbd:split=test", data_root=sbd_root)
    with pytest.raises(UserError, match="trainval"):
        datasets.build("voc:split=trainval", data_root=voc_root)


def test_names_follow_the_harness(voc_root):
    dataset = datasets.build("voc", data_root=voc_root)
    dataset.name = "voc:elsewhere"
    assert {ref.dataset for ref in dataset.instances()} == {"voc:elsewhere"}


@pytest.mark.parametrize(
    ("name", "masks"), [("voc", "VOC2012/SegmentationObject/{}.png"), ("sbd", "SBD/inst/{}.mat")]
)
@pytest.mark.parametrize("harm", ["truncated", "missing"])
def test_an_unreadable_mask_file_costs_only_itself(name, masks, harm, request):
    root = request.getfixturevalue(f"{name}_root")
    path = root / masks.format("b")
    if harm == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100])
    refs = datasets.build(name, data_root=root).instances()
    assert [ref.name for ref in refs] == ["b#?", "2008_000002#1"]
    with pytest.raises(DataError, match=path.name):
        refs[0].load()
    refs[1].load()


def test_a_mask_that_becomes_readable_later_is_not_scored_unseen(voc_root):
    path = voc_root / "VOC2012/SegmentationObject/b.png"
    data = path.read_bytes()
    path.write_bytes(b"")
    ref = datasets.build("voc", data_root=voc_root).instances()[0]
    path.write_bytes(data)
    with pytest.raises(DataError, match="no object pixel"):
        ref.load()


def test_lists_are_checked(sbd_root):
    (sbd_root / "SBD/val.txt").write_text("b\nb\n")
    with pytest.raises(UserError, match="b twice"):
        datasets.build("sbd", data_root=sbd_root)
    (sbd_root / "SBD/val.txt").write_text("\n")
    with pytest.raises(UserError, match="empty"):
        datasets.build("sbd", data_root=sbd_root)
    (sbd_root / "SBD/val.txt").write_text("c\n")
    with pytest.raises(UserError, match="has an object"):
        datasets.build("sbd", data_root=sbd_root).instances()


def test_missing_sets_say_what_to_do(tmp_path):
    with pytest.raises(UserError, match="isegbench data download sbd"):
        datasets.build("sbd", data_root=tmp_path)
    with pytest.raises(UserError, match="isegbench data download voc"):
        datasets.build("voc", data_root=tmp_path)
    with pytest.raises(UserError, match="laid out like VOC2012"):
        datasets.build(f"voc:{tmp_path}")
