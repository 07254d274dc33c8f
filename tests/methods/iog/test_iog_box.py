"""IOG from a box alone, with small networks whose weights are made up."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools.coco import COCO
from scipy.ndimage import distance_transform_edt
from skimage import data

from isegbench.datasets import samples
from isegbench.datasets.samples import Samples
from isegbench.harness.downloads.fetch import sha256_of
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import MethodError, UserError
from isegbench.harness.method import Checkpoint, Session
from isegbench.harness.planning.plan import checkpoints, describe_method
from isegbench.harness.registry import methods
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Box, Click
from isegbench.harness.workflows.label.label import label
from isegbench.methods.iog.checkpoint import save_network
from isegbench.methods.iog.iog_box import IOGBox, inside_point
from isegbench.methods.nets.iog import IOGNet

SIDE = 64


def made_up(seed, side=SIDE):
    """A network whose answers depend on image and guidance, about half of them above zero."""
    torch.manual_seed(seed)
    network = IOGNet(18, side=side, heads=8)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    network.eval()
    with torch.inference_mode():
        view = torch.zeros(1, 5, side, side)
        view[0, :3] = torch.from_numpy(cv2.resize(session().image, (side, side))).permute(2, 0, 1)
        fine = network.fine(view)
    shift_output(network, -float(fine.median()))
    return network


def shift_output(network, amount):
    """Add to every logit: the last layer is a batch norm of one channel."""
    *_, last = (m for m in network.Fine_net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert last.num_features == 1
    with torch.no_grad():
        last.bias += amount


@pytest.fixture(scope="module")
def networks():
    return made_up(1), made_up(2)


@pytest.fixture(scope="module")
def files(networks, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    save_network(networks[0], folder / "first.pth", guidance="outside", trained_on=["a", "b"])
    save_network(networks[1], folder / "second.pth", trained_on=["b", "c"])
    return folder / "first.pth", folder / "second.pth"


def session(seed=0, shape=(90, 120), corners=((20, 30), (70, 95))):
    image = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), 6)
    image = cv2.normalize(image, np.empty_like(image), 0, 255, cv2.NORM_MINMAX)
    return Session(image, tuple(Click(y, x, "corner") for y, x in corners))


def play(method, *sessions):
    for one in sessions:
        method.begin(one)
    return method.predict(sessions)


def bump(y, x):
    rows, columns = np.mgrid[:SIDE, :SIDE]
    squared = (rows - y) ** 2 + (columns - x) ** 2
    return np.exp(-4 * np.log(2) * squared / (10 * SIDE / 512) ** 2)


def on_the_box(length):
    """The view's pixels whose middles fall on the box, 30 pixels within a crop of that length."""
    middles = (np.arange(SIDE) + 0.5) * length / SIDE
    return np.flatnonzero((middles >= 30) & (middles <= length - 30))


def by_hand(networks, image, top, left, bottom, right):
    """Both stages written out. Returns the inferred point and the map, unclipped."""
    padded = np.pad(image, ((30, 30), (30, 30), (0, 0))).astype(np.float32)
    crop = padded[top : bottom + 61, left : right + 61]
    height, width = crop.shape[:2]
    view = cv2.resize(crop, (SIDE, SIDE)).transpose(2, 0, 1)
    rows, columns = on_the_box(height), on_the_box(width)
    # 10/512 of the side beyond the box.
    far = [(y, x) for y in (rows[0] - 1, rows[-1] + 1) for x in (columns[0] - 1, columns[-1] + 1)]
    outside = np.maximum.reduce([bump(y, x) for y, x in far])
    stretched = 255 * outside / outside.max()
    empty = np.zeros((SIDE, SIDE))
    x = torch.from_numpy(np.concatenate([view, [empty, stretched]]).astype(np.float32))
    with torch.inference_mode():
        mask = networks[0](x[None])[4][0, 0].numpy() > 0
    depths = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    point = np.unravel_index(depths.argmax(), depths.shape)
    maps = np.stack([bump(*point), outside])
    maps = 255 * (maps - maps.min()) / (maps.max() - maps.min())
    x = torch.from_numpy(np.concatenate([view, maps]).astype(np.float32))
    with torch.inference_mode():
        probabilities = networks[1](x[None])[4][0, 0].sigmoid().numpy()
    pasted = np.zeros(padded.shape[:2], np.float32)
    pasted[top : bottom + 61, left : right + 61] = cv2.resize(
        probabilities, (width, height), interpolation=cv2.INTER_CUBIC
    )
    return mask, point, pasted[30:-30, 30:-30]


def test_it_is_the_plain_composition_of_two_networks(networks, files):
    one = session()
    (found,) = play(IOGBox(*map(str, files), device="cpu"), one)
    mask, point, expected = by_hand(networks, one.image, 20, 30, 70, 95)
    assert 0.05 < mask.mean() < 0.95
    assert one.memory["inside"] == point
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.clip(0, 1), atol=2e-5)
    assert found.max() > 0.5 > found.min()


def test_the_point_changes_the_answer(files):
    """Otherwise the comparison above would show nothing of the second stage's guidance."""
    method = IOGBox(*map(str, files), device="cpu")
    one, other = session(), session()
    method.begin(one)
    method.begin(other)
    (found,) = method.predict([one])
    shift_output(method.first, -1e6)
    (empty,) = method.predict([other])
    assert one.memory["inside"] != other.memory["inside"]
    assert np.abs(found - empty).max() > 1e-3


@given(arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24), elements=st.booleans()))
def test_the_point_is_where_scipys_distance_is_largest(mask):
    point = inside_point(mask, Box(2, 3, 7, 12))
    if mask.any():
        depths = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
        assert point == np.unravel_index(depths.argmax(), mask.shape)
    else:
        assert point == (4, 7)


def test_an_empty_first_mask_means_the_middle_of_the_box(files):
    method = IOGBox(*map(str, files), device="cpu")
    shift_output(method.first, -1e6)
    one = session()
    (found,) = play(method, one)
    box = one.memory["view"].tight_box()
    assert one.memory["inside"] == ((box.top + box.bottom) // 2, (box.left + box.right) // 2)
    assert np.isfinite(found).all()


def test_a_batch_is_its_members(files):
    method = IOGBox(*map(str, files), device="cpu")
    places = [((20, 30), (70, 95)), ((0, 0), (89, 119)), ((88, 3), (40, 60)), ((5, 5), (5, 5))]
    together = play(method, *(session(n, corners=place) for n, place in enumerate(places)))
    for n, place in enumerate(places):
        (alone,) = play(method, session(n, corners=place))
        np.testing.assert_allclose(together[n], alone, atol=1e-5)


def test_the_first_stage_alone(networks, files):
    one = session()
    method = IOGBox(str(files[0]), stages=1, device="cpu")
    (found,) = play(method, one)
    with torch.inference_mode():
        logits = networks[0](one.memory["input"][None])[4][0, 0]
    assert not one.memory["input"][3].any()
    assert one.memory["input"][4].max() == pytest.approx(255)
    view = one.memory["view"].in_image(logits.sigmoid().numpy(), one.shape).clip(0, 1)
    np.testing.assert_allclose(found, view, atol=1e-5)
    assert isinstance(method.weights, Checkpoint)
    assert method.weights.trained_on == ("a", "b")


def test_it_says_which_weights_it_has(files):
    method = methods.build(f"iog-box:outside={files[0]},weights={files[1]},device=cpu")
    assert method.opening == "box"
    assert not method.corrections
    recorded = describe_method(method, "iog-box").weights
    assert recorded is not None
    assert recorded.name == f"{files[0]} + {files[1]}"
    assert recorded.sha256 == f"{sha256_of(files[0])}+{sha256_of(files[1])}"
    assert recorded.trained_on == ["a", "b", "c"]
    # Workers elsewhere are sent both, under the names that the method asks for.
    assert [(file.name, file.path) for file in checkpoints(method)] == [
        (str(file), file) for file in files
    ]


def test_two_clicks_through_the_engine(files):
    method = IOGBox(*map(str, files), device="cpu")
    pairing = Pairing(method, "iog-box", LargestError(), "largest-error")
    settings = Settings(clicks=20, batch_size=3)
    for trace in Engine(pairing, settings).run(Samples().instances()[:3]):
        assert trace.status == "ok", trace.error
        assert [step.click.kind for step in trace.steps] == ["corner", "corner"]
        assert trace.steps[0].iou is None
        assert trace.steps[1].iou is not None


def test_labelling(files, tmp_path):
    """What Pixel-ImageNet did: the masks that the method gives, in a file that COCO opens."""
    content = json.loads(samples.MASKS.read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"]
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    spec = f"iog-box:outside={files[0]},weights={files[1]},device=cpu"
    out = tmp_path / "masks.json"
    images = Path(data.__file__).parent
    done = label(tmp_path / "boxes.json", images, spec, out, limit=4, batch_size=2)
    assert (done.masks, done.failed) == (4, {})
    opened: Any = COCO(str(out))
    assert opened.dataset["info"]["method"]["weights"]["sha256"].startswith(sha256_of(files[0]))
    method = methods.build(spec)
    refs = {ref.name: ref for ref in Samples().instances()}
    for annotation in opened.anns.values():
        instance = refs[f"{annotation['image_id']}#{annotation['id']}"].load()
        clicks = LargestError().open(instance, "box", np.random.default_rng(0))
        (found,) = play(method, Session(instance.image, tuple(clicks)))
        # A batch may round differently, which shows where a pixel is near the threshold.
        assert (opened.annToMask(annotation) != (found > 0.5)).mean() < 1e-4


def test_what_does_not_fit_is_said(files, tmp_path):
    first, second = map(str, files)
    with pytest.raises(UserError, match="is it the one for weights"):
        IOGBox(second, second)
    with pytest.raises(UserError, match="is it the one for outside"):
        IOGBox(first, first)
    with pytest.raises(UserError, match="needs weights"):
        IOGBox(first)
    with pytest.raises(UserError, match="leave weights out"):
        IOGBox(first, second, stages=1)
    with pytest.raises(UserError, match="1 or 2"):
        IOGBox(first, second, stages=3)
    with pytest.raises(UserError, match="resnet18, not resnet50"):
        IOGBox(first, second, backbone="resnet50")
    save_network(made_up(3, side=128), tmp_path / "large.pth")
    with pytest.raises(UserError, match="both stages need the same view"):
        IOGBox(first, str(tmp_path / "large.pth"))
    one = Session(np.zeros((9, 9, 3), np.uint8), (Click(1, 1, "corner"),))
    with pytest.raises(MethodError, match="2 corners"):
        IOGBox(first, second, device="cpu").begin(one)
