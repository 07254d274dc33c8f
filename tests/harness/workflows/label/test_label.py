"""Boxes become masks: what is written, what a bad box costs, and what is refused."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from isegbench.datasets import samples
from isegbench.datasets.coco import decode_annotation, encode_annotation
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import UserError
from isegbench.harness.registry import methods
from isegbench.harness.simulators.given_box import GivenBox
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.store.masks import decode_mask
from isegbench.harness.store.traces import read_traces
from isegbench.harness.workflows.label.label import box_methods, label

PHOTOGRAPHS = Path(str(files("skimage"))) / "data"


def read_by_pycocotools(path: Path) -> Any:
    """Any: the stubs of pycocotools have no keys but COCO's own."""
    return COCO(str(path))


@pytest.fixture
def boxes(tmp_path):
    """The boxes of the embedded objects, without their masks: (file, content)."""
    content = json.loads(samples.MASKS.read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"], annotation["area"]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(content))
    return file, content


def read(path):
    content = json.loads(path.read_text())
    assert isinstance(content, dict)
    return content


def test_masks_of_embedded_boxes(boxes, tmp_path):
    """The file opens in pycocotools; each mask is the one that a run gives the same object."""
    file, content = boxes
    seen = []
    out = tmp_path / "masks.json"
    done = label(file, PHOTOGRAPHS, "ellipse", out, on_trace=seen.append)
    assert (done.boxes, done.masks, done.empty, done.failed) == (24, 24, 0, {})
    assert len(seen) == 24
    opened = read_by_pycocotools(out)
    assert opened.getCatIds() == [category["id"] for category in content["categories"]]
    pairing = Pairing(methods.build("ellipse"), "m", LargestError(), "s")
    settings = Settings(save_masks=True)
    traces = Engine(pairing, settings).run(samples.Samples().instances())
    expected = {trace.instance: decode_mask(trace.mask) for trace in traces if trace.mask}
    for given_annotation in content["annotations"]:
        annotation = opened.anns[given_annotation["id"]]
        for key in ("image_id", "category_id"):
            assert annotation[key] == given_annotation[key]
        assert annotation["given_bbox"] == given_annotation["bbox"]
        mask = opened.annToMask(annotation).astype(bool)
        name = f"{annotation['image_id']}#{annotation['id']}"
        np.testing.assert_array_equal(mask, expected[name])
        assert annotation["area"] == mask.sum()
        ys, xs = np.nonzero(mask)
        assert annotation["bbox"] == [xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1]
        # What any reader of this package makes of it.
        again = decode_annotation(
            encode_annotation(annotation, opened.imgs[annotation["image_id"]])
        )
        np.testing.assert_array_equal(again.astype(bool), mask)
    info = read(out)["info"]
    assert info["method"]["spec"] == "ellipse"
    assert info["source"]["file"] == "boxes.json"
    assert info["source"]["boxes"] == 24
    assert "numpy" in info["versions"]


@pytest.mark.slow
def test_real_boxes(shared, tmp_path):
    """COCO's own boxes, with GrabCut: better than the whole box, and nothing outside it."""
    file = shared("data", "COCO_inst", "instances.json")
    out = tmp_path / "masks.json"
    done = label(file, file.parent / "images", "grabcut:opening=box", out, limit=8)
    assert (done.boxes, done.masks, done.crowds, done.failed) == (8, 8, 1, {})
    truth, found = read_by_pycocotools(file), read_by_pycocotools(out)
    gains = []
    for annotation in found.anns.values():
        mask = found.annToMask(annotation)
        exact = truth.annToMask(truth.anns[annotation["id"]])
        box = np.zeros_like(mask)
        x, y, wide, tall = annotation["given_bbox"]
        assert [x, y, wide, tall] == truth.anns[annotation["id"]]["bbox"]
        right, bottom = int(np.ceil(x + wide)), int(np.ceil(y + tall))
        box[int(y) : bottom, int(x) : right] = 1
        assert not (mask & ~box.astype(bool)).any()
        encoded = [coco_mask.encode(np.asfortranarray(one)) for one in (mask, box, exact)]
        by_mask, by_box = np.asarray(coco_mask.iou(encoded[:2], encoded[2:], [0]))[:, 0]
        gains.append(by_mask - by_box)
    assert np.mean(gains) > 0


def test_boxes_in_xml(tmp_path):
    """ILSVRC's way: a file an image, no size given; ids and categories are made."""
    for stem, name, sides in (
        ("coffee", "cup", (101, 51, 300, 250)),
        ("astronaut", "person", (20, 17, 367, 512)),
    ):
        tags = ("xmin", "ymin", "xmax", "ymax")
        bounds = "".join(f"<{tag}>{side}</{tag}>" for tag, side in zip(tags, sides, strict=True))
        text = f"<object><name>{name}</name><bndbox>{bounds}</bndbox></object>"
        (tmp_path / f"{stem}.xml").write_text(f"<annotation>{text}</annotation>")
    out = tmp_path / "masks.json"
    done = label(tmp_path, PHOTOGRAPHS, "ellipse", out)
    assert (done.masks, done.failed) == (2, {})
    opened = read_by_pycocotools(out)
    assert [image["file_name"] for image in opened.imgs.values()] == ["astronaut.png", "coffee.png"]
    assert [category["name"] for category in opened.cats.values()] == ["cup", "person"]
    person, cup = opened.anns.values()
    assert (person["category_id"], cup["category_id"]) == (2, 1)
    assert person["given_bbox"] == person["bbox"] == [19, 16, 348, 496]
    assert cup["given_bbox"] == cup["bbox"] == [100, 50, 200, 200]
    assert opened.annToMask(cup).shape == (400, 600)


def test_a_bad_box_costs_itself(boxes, tmp_path):
    file, content = boxes
    content["annotations"] = content["annotations"][:6]
    content["annotations"][0]["bbox"] = [5, 5, 0, 9]
    content["annotations"][1]["bbox"] = [5000, 5, 10, 9]
    content["annotations"][2]["image_id"] = "nobody"
    content["annotations"][3].pop("bbox")
    content["images"].append({"id": "lost", "file_name": "lost.png", "height": 9, "width": 9})
    content["annotations"][4] |= {"image_id": "lost", "bbox": [1, 1, 3, 3]}
    file.write_text(json.dumps(content))
    out = tmp_path / "masks.json"
    done = label(file, PHOTOGRAPHS, "ellipse", out)
    assert (done.boxes, done.masks, done.failed) == (6, 1, {"data-failed": 5})
    ids = [annotation["id"] for annotation in content["annotations"]]
    assert [annotation["id"] for annotation in read(out)["annotations"]] == [ids[5]]
    reasons = {instance.split("#")[1]: why for instance, why in done.reasons}
    for number, why in zip(ids, ("empty", "outside", "no image", "None", "lost.png"), strict=False):
        assert why in reasons[str(number)]
    assert set(read_traces(done.parts).status) == {"ok", "data-failed"}
    # They are not tried again, unless that is asked for.
    for retry, tried in ((False, 0), (True, 5)):
        seen = []
        label(file, PHOTOGRAPHS, "ellipse", out, on_trace=seen.append, retry_failures=retry)
        assert len(seen) == tried


def test_a_box_that_is_mended_is_another_box(boxes, tmp_path):
    file, content = boxes
    out = tmp_path / "masks.json"
    label(file, PHOTOGRAPHS, "ellipse", out, limit=1)
    before = out.read_bytes()
    content["annotations"][3]["bbox"][2] += 1
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="other boxes"):
        label(file, PHOTOGRAPHS, "ellipse", out, limit=1)
    assert out.read_bytes() == before


def test_workers_and_batches_change_nothing(boxes, tmp_path, local_ray):
    file, _ = boxes
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    label(file, PHOTOGRAPHS, "grabcut:opening=box", one, limit=4)
    options = {"executor": "ray", "workers": 2, "batch_size": 3}
    label(file, PHOTOGRAPHS, "grabcut:opening=box", two, limit=4, **options)
    assert len(read(one)["annotations"]) == 4
    assert read(one)["annotations"] == read(two)["annotations"]


def test_more_boxes_may_follow(boxes, tmp_path):
    file, _ = boxes
    out = tmp_path / "masks.json"
    label(file, PHOTOGRAPHS, "ellipse", out, limit=3)
    assert len(read(out)["annotations"]) == 3
    seen = []
    label(file, PHOTOGRAPHS, "ellipse", out, on_trace=seen.append)
    assert len(seen) == 21
    assert len(read(out)["annotations"]) == 24


def test_an_empty_mask_is_an_annotation(boxes, tmp_path):
    file, _ = boxes
    (tmp_path / "nothing.py").write_text(
        "import numpy as np\nfrom isegbench.harness.method import Method\n\n"
        "class Nothing(Method):\n    opening = 'box'\n"
        "    def predict_one(self, session):\n        return np.zeros(session.shape, np.float32)\n"
    )
    out = tmp_path / "masks.json"
    done = label(file, PHOTOGRAPHS, f"{tmp_path / 'nothing.py'}:Nothing", out, limit=2)
    assert (done.masks, done.empty) == (2, 2)
    for annotation in COCO(str(out)).anns.values():
        assert (annotation["area"], annotation["bbox"]) == (0, [0, 0, 0, 0])


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("geodesic", r"opens with click.*ellipse.*grabcut:opening=box.*iog-box"),
        ("ellipse:opening=inside-outside", "opens with inside-outside"),
        ("elipse", "did you mean 'ellipse'"),
    ],
)
def test_a_method_that_needs_more_than_a_box_is_refused(boxes, tmp_path, method, why):
    with pytest.raises(UserError, match=why):
        label(boxes[0], PHOTOGRAPHS, method, tmp_path / "masks.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.json"]


def test_every_method_that_takes_a_box_is_named():
    """Those without weights really do."""
    named = box_methods()
    assert {"ellipse", "iog-box", "geodesic:opening=box", "random-walker:opening=box"} <= {*named}
    for spec in named:
        if not spec.startswith(("iog-box", "sam")):
            assert methods.build(spec).opening == "box"


def test_the_given_box_is_no_click_user():
    ref = samples.Samples().instances()[0]
    pairing = Pairing(methods.build("nearest-click"), "m", GivenBox(), "given-box")
    (trace,) = Engine(pairing, Settings()).run([ref])
    assert trace.status == "simulator-failed"
    assert trace.error is not None
    assert "only a box is given" in trace.error
