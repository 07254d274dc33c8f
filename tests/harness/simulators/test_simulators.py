from collections import Counter

import numpy as np
import pytest
from scipy.ndimage import label

from isegbench.harness.errors import SimulatorError, UserError
from isegbench.harness.planning.plan import plan_simulator
from isegbench.harness.simulators.largest_component import LargestComponent, largest
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.openings import OPENINGS, opening_clicks
from isegbench.harness.simulators.random_error import RandomError
from isegbench.harness.types import Click, Instance


def instance_of(mask) -> Instance:
    mask = np.asarray(mask, np.uint8)
    return Instance("d", "a", "a", np.zeros((*mask.shape, 3), np.uint8), mask)


def rng():
    return np.random.default_rng(0)


def next_click(simulator, truth, mask, clicks=()):
    return simulator.correct(instance_of(truth), None, np.asarray(mask, bool), clicks, rng())


TWO = np.zeros((20, 40), np.uint8)
TWO[5:12, 2:9] = 1  # 7 x 7, the deepest
TWO[15:19, 12:39] = 1  # 4 x 27, the largest


def test_largest_error_clicks_the_deepest_place():
    assert next_click(LargestError(), TWO, TWO * 0) == Click(8, 5, "positive")
    assert next_click(LargestError(), TWO * 0 + 255 * (TWO * 0), TWO) == Click(8, 5, "negative")


def test_largest_component_clicks_where_most_pixels_are_wrong():
    click = next_click(LargestComponent(), TWO, TWO * 0)
    assert click is not None
    assert click.kind == "positive"
    assert 15 <= click.y < 19


def test_a_tie_is_a_negative_click():
    truth = np.zeros((9, 20), np.uint8)
    truth[2:7, 2:7] = 1
    mask = np.zeros((9, 20), bool)
    mask[2:7, 12:17] = True
    for simulator in (LargestError(), LargestError("exact"), LargestComponent(), RandomError()):
        click = next_click(simulator, truth, mask)
        assert click is not None
        assert click.kind == "negative"


def test_when_nothing_is_wrong_nobody_clicks():
    truth = TWO.copy()
    truth[0, 0] = 255
    mask = TWO == 1
    mask[0, 0] = True
    for simulator in (LargestError(), LargestComponent(), RandomError()):
        assert next_click(simulator, truth, mask) is None


def test_a_pixel_clicked_before_is_not_clicked_again_but_by_forte():
    truth = np.zeros((5, 5), np.uint8)
    truth[2, 2] = 1
    before = [Click(2, 2, "positive")]
    nothing = np.zeros((5, 5), bool)
    assert next_click(LargestError(), truth, nothing, before) is None
    assert next_click(RandomError(), truth, nothing, before) is None
    assert next_click(LargestComponent(), truth, nothing, before) == before[0]


def test_random_error_is_uniform_over_the_larger_error():
    truth = np.zeros((6, 6), np.uint8)
    truth[1:3, 1:4] = 1
    simulator, generator = RandomError(), np.random.default_rng(3)
    nothing = np.zeros((6, 6), bool)

    def pixel():
        click = simulator.correct(instance_of(truth), None, nothing, (), generator)
        assert click is not None
        return click.pixel

    drawn = Counter(pixel() for _ in range(3000))
    assert set(drawn) == {(y, x) for y in (1, 2) for x in (1, 2, 3)}
    assert all(400 < count < 600 for count in drawn.values())


@pytest.mark.parametrize("seed", range(20))
def test_largest_agrees_with_scipy(seed):
    region = np.random.default_rng(seed).random((15, 15)) < 0.4
    labels = np.empty(region.shape, int)
    label(region, np.ones((3, 3)), labels)
    sizes = [np.count_nonzero(labels == k + 1) for k in range(labels.max())]
    np.testing.assert_array_equal(largest(region), labels == 1 + int(np.argmax(sizes)))
    assert not largest(np.zeros((4, 4), bool)).any()


@pytest.mark.parametrize("opening", OPENINGS)
def test_openings_place_the_kinds_they_promise_inside_the_image(opening):
    clicks = opening_clicks(opening, TWO, rng())
    assert tuple(click.kind for click in clicks) == OPENINGS[opening]
    for click in clicks:
        if click.kind in ("positive", "extreme"):
            assert TWO[click.pixel] == 1


def test_box_and_extreme_points_touch_the_objects_sides():
    box = opening_clicks("box", TWO, rng())
    assert [(c.y, c.x) for c in box] == [(5, 2), (18, 38)]
    left, right, top, bottom = opening_clicks("extreme-points", TWO, rng())
    assert (left.x, right.x, top.y, bottom.y) == (2, 38, 5, 18)
    inside = opening_clicks("inside-outside", TWO, rng())
    assert [(c.y, c.x) for c in inside] == [(5, 2), (18, 38), (8, 5)]


def test_unknown_openings_are_refused():
    with pytest.raises(SimulatorError, match="unknown opening 'circle'"):
        opening_clicks("circle", TWO, rng())


@pytest.mark.parametrize("name", ["largest-error", "largest-component", "random-error"])
def test_jitter_displaces_within_its_radius_and_the_image(name):
    planned = plan_simulator(f"{name}:jitter=2.5")
    label_, shaky = planned.name, planned.built
    assert label_ == f"{name}:jitter=2.5"
    steady = LargestError()
    corner = np.zeros((30, 30), np.uint8)
    corner[:3, :3] = 1
    generator, places = np.random.default_rng(0), set()
    for _ in range(200):
        (click,) = shaky.open(instance_of(corner), "click", generator)
        places.add(click.pixel)
        assert click.kind == "positive"
        assert 0 <= click.y < 30
        assert 0 <= click.x < 30
    if name == "largest-error":
        (meant,) = steady.open(instance_of(corner), "click", rng())
        expected = {
            (y, x)
            for y in range(30)
            for x in range(30)
            if (y - meant.y) ** 2 + (x - meant.x) ** 2 <= 2.5**2
        }
        assert places == expected
    perfect = corner == 1
    assert shaky.correct(instance_of(corner), None, perfect, (), generator) is None


def test_jitter_must_be_a_distance():
    for bad in ("-1", "wide", "nan", "inf", "1e9", [1]):
        with pytest.raises(UserError, match="jitter="):
            plan_simulator({"name": "largest-error", "jitter": bad})
