import json

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isegbench.harness.registry import datasets
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Box, Click
from isegbench.methods.nets.click_network import normalise
from isegbench.methods.processing.flip import average_mirrored, mirror_points, with_mirrored
from isegbench.methods.processing.zoom_in import ZoomedView, ZoomIn

PLAIN = ZoomIn()


def recorded_box(roi: list[int]) -> Box:
    """The goldens list first and last row, then first and last column."""
    top, bottom, left, right = roi
    return Box(top, left, bottom, right)


def soft_mask(truth: np.ndarray, op: str, dy: int, dx: int) -> np.ndarray:
    """The made-up prediction of a component golden, as the goldens' README defines it."""
    if op == "erode":
        made = cv2.erode(truth, np.ones((15, 15), np.uint8))
    elif op == "dilate":
        made = cv2.dilate(truth, np.ones((25, 25), np.uint8))
    elif op == "empty":
        made = np.zeros_like(truth)
    elif op == "corner":
        made = np.zeros_like(truth)
        made[:20, :30] = 1
    else:
        made = truth
    return np.roll(made, (dy, dx), (0, 1)).astype(np.float32) * np.float32(0.9) + np.float32(0.05)


def synthetic_map(size: tuple[int, int]) -> torch.Tensor:
    rows, columns = np.mgrid[: size[0], : size[1]]
    return torch.tensor(((3 * rows + 7 * columns) % 101 / 101).astype(np.float32))[None, None]


@pytest.mark.slow
@pytest.mark.parametrize("system", ["fbrs", "ritm", "fcfi"])
def test_the_released_geometry_step_by_step(system, shared):
    golden = json.loads(shared("goldens", "components", f"{system}.json").read_text())["zoom"]
    for row in golden:
        dataset = datasets.build(row["dataset"].lower(), data_root=shared("data"))
        instance = next(i for i in dataset.instances() if i.name == row["name"]).load()
        follow(system, instance, row["steps"])


def follow(system, instance, steps):
    zoom = ZoomIn(target=600 if instance.dataset == "davis" else 400)
    if system == "fcfi":
        zoom = ZoomIn(target=600, expansion=3.0, all_clicks=True)
    planes = torch.from_numpy(np.ascontiguousarray(instance.image.transpose(2, 0, 1)))[None]
    image = planes.float().div(255)
    truth, shape = (instance.mask == 1).astype(np.uint8), instance.mask.shape
    simulator = LargestError("exact" if system == "fbrs" else "opencv")
    clicks, previous, roi = [], None, None
    for step in steps:
        if step["previous_mask_op"]:
            previous = soft_mask(truth, *step["previous_mask_op"])
        # A prediction as good as none is what the first click corrects.
        shown = np.zeros(shape, np.float32) if previous is None else previous
        rng = np.random.default_rng(0)
        made = [Click(y, x, "positive" if sign else "negative") for y, x, sign in clicks]
        click = simulator.correct(instance, shown, shown > 0.49, made, rng)
        assert click is not None
        clicks.append((int(click.y), int(click.x), click.kind == "positive"))
        assert list(clicks[-1]) == step["click"]

        view = zoom.look(shape, clicks, previous, roi)
        assert view.roi == (recorded_box(step["roi"]) if step["roi"] else None)
        assert view.changed == (view.roi != roi)
        roi = view.roi
        if system == "fbrs":
            taken = view.take(normalise(image))
        else:
            taken = view.take(torch.cat([image, torch.tensor(shown)[None, None]], dim=1))
        assert list(taken.shape) == step["input_shape"]
        assert taken.double().sum().item() == pytest.approx(step["input_sum"], rel=1e-6, abs=1e-2)
        assert view.size == tuple(taken.shape[2:])

        points = view.points(clicks)
        assert [[y, x] for y, x, _ in points] == step["clicks_transformed"]
        mirrored = mirror_points(points, view.size[1])
        assert [[y, x] for y, x, _ in mirrored] == step["clicks_flipped"]

        pasted = view.paste(synthetic_map(view.size), shape)
        assert list(pasted.shape) == step["inverse_shape"]
        assert pasted.double().sum().item() == pytest.approx(step["inverse_sum"], rel=1e-6)


def box_of_ones(shape, box):
    mask = np.zeros(shape, np.float32)
    mask[box.slices] = 1
    return mask


def test_the_first_click_sees_the_whole_image():
    view = PLAIN.look((300, 400), [(5, 5, True)], box_of_ones((300, 400), Box(0, 0, 9, 9)), None)
    assert view == ZoomedView(None, None, (300, 400), changed=False)


def test_the_box_is_enlarged_about_its_centre_and_clamped():
    mask = box_of_ones((1000, 1000), Box(400, 700, 599, 999))
    view = PLAIN.look((1000, 1000), [(450, 800, True)] * 2, mask, None)
    # 200 rows -> 280 about 499.5; 300 columns -> 420 about 849.5, the right end cut off.
    assert view.roi == Box(360, 640, 640, 999)
    assert view.size == (round(281 * 400 / 360), 400)
    assert view.changed


def test_a_negative_click_far_away_matters_only_where_all_count():
    mask = box_of_ones((1000, 1000), Box(400, 400, 599, 599))
    clicks = [(450, 450, True), (950, 450, False)]
    plain = PLAIN.look((1000, 1000), clicks, mask, None)
    every = ZoomIn(all_clicks=True).look((1000, 1000), clicks, mask, None)
    assert plain.roi is not None
    assert every.roi is not None
    assert plain.roi.bottom < 950 < every.roi.bottom


def test_a_click_on_the_far_edge_of_the_roi_is_outside():
    mask = box_of_ones((1000, 1000), Box(400, 400, 599, 599))
    roi = Box(300, 300, 700, 700)
    inside = PLAIN.look((1000, 1000), [(450, 450, True), (699, 450, True)], mask, roi)
    edge = PLAIN.look((1000, 1000), [(450, 450, True), (700, 450, True)], mask, roi)
    assert not inside.changed
    assert inside.roi == roi
    assert edge.changed


def test_an_emptied_prediction_is_pasted_into_the_old_roi():
    roi = Box(10, 20, 19, 39)
    empty = np.zeros((50, 60), np.float32)
    view = PLAIN.look((50, 60), [(12, 25, True), (1, 1, False)], empty, roi)
    assert (view.roi, view.crop, view.size, view.changed) == (roi, None, (50, 60), False)
    pasted = view.paste(torch.ones(1, 1, 50, 60), (50, 60))[0, 0]
    torch.testing.assert_close(pasted, torch.from_numpy(box_of_ones((50, 60), roi)))


def test_a_torch_map_will_do_as_previous_prediction():
    mask = box_of_ones((300, 400), Box(50, 70, 60, 90))
    clicks = [(55, 80, True)] * 2
    view = PLAIN.look((300, 400), clicks, mask, None)
    assert PLAIN.look((300, 400), clicks, torch.from_numpy(mask), None) == view


@given(
    st.integers(0, 200), st.integers(1, 200), st.integers(0, 200), st.integers(1, 200), st.data()
)
def test_clicks_on_the_roi_fall_inside_the_input(top, rows, left, columns, data):
    roi = Box(top, left, top + rows - 1, left + columns - 1)
    view = ZoomedView(roi, roi, (96, 128), changed=True)
    y = data.draw(st.integers(roi.top, roi.bottom))
    x = data.draw(st.integers(roi.left, roi.right))
    ((row, column, _),) = view.points([(y, x, True)])
    assert 0 <= row < 96
    assert 0 <= column < 128
    assert row * rows == pytest.approx(96 * (y - top))


def test_mirroring_twice_is_nothing_and_averaging_undoes_it():
    picture = torch.rand(2, 3, 5, 8)
    assert torch.equal(average_mirrored(with_mirrored(picture)), picture)
    points = [(1.0, 2.25, True), (3.0, 0.0, False)]
    assert mirror_points(mirror_points(points, 8), 8) == points
