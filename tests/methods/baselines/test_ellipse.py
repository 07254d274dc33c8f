"""The ellipse in the box, and GrabCut given the same three clicks."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isegbench.datasets.samples import Samples
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import MethodError, UserError
from isegbench.harness.method import Session
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import methods
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.types import Click
from isegbench.methods.classical.seeds import disc


def predict(spec, shape, *clicks):
    return methods.build(spec).predict_one(Session(np.zeros((*shape, 3), np.uint8), clicks))


@given(st.data())
def test_it_is_the_inscribed_ellipse(data):
    height, width = (data.draw(st.integers(1, 30)) for _ in range(2))
    (top, bottom), (left, right) = (
        sorted(data.draw(st.integers(0, size - 1)) for _ in range(2)) for size in (height, width)
    )
    corners = [Click(bottom, left, "corner"), Click(top, right, "corner")]
    found = predict("ellipse", (height, width), *corners)
    assert found.dtype == np.float32
    # The ellipse through the outer sides of the box's pixels, in exact fractions.
    middle = Fraction(top + bottom, 2), Fraction(left + right, 2)
    half = Fraction(bottom - top + 1, 2), Fraction(right - left + 1, 2)
    for y, x in np.ndindex(height, width):
        inside = ((y - middle[0]) / half[0]) ** 2 + ((x - middle[1]) / half[1]) ** 2 <= 1
        assert bool(found[y, x]) == inside


def test_it_touches_all_sides_and_fills_pi_quarters_of_its_box():
    found = predict("ellipse", (130, 250), Click(10, 20, "corner"), Click(110, 220, "corner"))
    ys, xs = np.nonzero(found)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (10, 110, 20, 220)
    assert found.sum() / (101 * 201) == pytest.approx(np.pi / 4, abs=0.005)


def test_the_inside_click_changes_nothing():
    corners = Click(1, 2, "corner"), Click(20, 17, "corner")
    three = predict("ellipse:opening=inside-outside", (30, 30), *corners, Click(9, 9, "positive"))
    np.testing.assert_array_equal(three, predict("ellipse", (30, 30), *corners))


def test_it_says_what_it_needs():
    with pytest.raises(MethodError, match="two corners"):
        predict("ellipse", (9, 9), Click(1, 2, "positive"))
    with pytest.raises(UserError, match="opening"):
        methods.build("ellipse:opening=click")


def through_the_engine(spec, refs):
    pairing = Pairing(methods.build(spec), spec, LargestError(), "largest-error")
    return list(Engine(pairing, Settings(clicks=3)).run(refs))


def test_three_clicks_through_the_engine():
    refs = Samples().instances()[:2]
    for spec in ("ellipse:opening=inside-outside", "grabcut:opening=inside-outside"):
        for trace in through_the_engine(spec, refs):
            assert trace.status == "ok", trace.error
            kinds = [step.click.kind for step in trace.steps]
            assert kinds == ["corner", "corner", "positive"]
            scores = [step.iou for step in trace.steps]
            assert scores[:2] == [None, None]
            assert scores[2] is not None


def test_grabcut_takes_the_inside_click_for_object_and_the_outside_for_background():
    """An object that is not at the centre of its box, where a box alone assumes one."""
    image = np.full((60, 80, 3), (40, 120, 40), np.uint8)
    truth = np.zeros((60, 80), np.uint8)
    truth[10:50, 10:25] = truth[40:50, 10:70] = 1
    image[truth == 1] = (200, 30, 30)
    noise = np.random.default_rng(0).integers(-10, 10, image.shape)
    image = (image.astype(int) + noise).clip(0, 255).astype(np.uint8)
    method = methods.build("grabcut:opening=inside-outside")
    assert method.opening == "inside-outside"
    corners = Click(10, 10, "corner"), Click(49, 69, "corner")
    session = Session(image, (*corners, Click(30, 16, "positive")), seed=1)
    method.begin(session)
    found = method.predict_one(session) > 0.5
    outside = np.ones((60, 80), bool)
    outside[10:50, 10:70] = False
    assert not found[outside].any()
    assert found[25:36, 11:22][disc(5)].all()
    assert iou(found, truth) > 0.95
