import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from isegbench.harness.errors import MethodError, SimulatorError
from isegbench.harness.registry import simulators
from isegbench.harness.types import Click, MapInView
from isegbench.methods.iog.released_simulator import released_click, view_point
from isegbench.methods.iog.view import CropView
from isegbench.methods.processing.boxes import box_of

simulator = simulators.build("iog-released")
rng = np.random.default_rng(0)
coordinates = st.integers(0, 511)
pixels = st.integers(-200, 8000)


@given(pixels, pixels, coordinates, coordinates)
def test_a_released_click_tells_pixel_and_point_exactly(y, x, row, column):
    click = released_click((y, x), (row, column), "positive")
    assert click.pixel == (y, x)
    assert view_point(click) == (row, column)
    stored = Click(float(np.float32(click.y)), float(np.float32(click.x)), "positive")
    assert view_point(stored) == (row, column)


def test_other_clicks_tell_no_point():
    for click in (Click(3, 4, "positive"), Click(3.25, 4.1, "negative")):
        with pytest.raises(MethodError, match="use the simulator iog-released"):
            view_point(click)


@pytest.mark.parametrize("place", [(45, 60, 20), (5, 8, 20), (45, 60, 0)])
def test_the_opening_spans_the_tight_box_and_is_on_the_object(disc, place):
    instance = disc(*place)
    first, second, inside = simulator.open(instance, "inside-outside", rng)
    tight = box_of(np.argwhere(instance.mask))
    assert first.pixel == (tight.top, tight.left)
    assert second.pixel == (tight.bottom, tight.right)
    assert instance.mask[inside.pixel] == 1
    seen = CropView(tight, 512).mask(instance.mask == 1)
    assert seen[view_point(inside)]
    box = box_of(np.argwhere(seen))
    assert [view_point(first), view_point(second)] == [(box.top, box.left), (box.bottom, box.right)]


@pytest.fixture
def corrected(disc):
    """`corrected(in_view)`: the correction on a disc of radius 20, and the view's ground truth."""
    instance = disc(45, 60, 20)
    instance.mask[45:, :] = 0  # not symmetric about its diagonal

    def correct(change):
        target = instance.mask == 1
        truth = CropView(box_of(np.argwhere(target)), 512).mask(target)
        in_view = change(truth.copy())
        found = MapInView.of(np.zeros((90, 120), np.float32), in_view.astype(np.float32))
        return simulator.correct(instance, found, found > 0.5, [], rng), truth, in_view

    return correct


@pytest.mark.parametrize(
    "region",
    [(slice(0, 40), slice(300, 400)), (slice(200, 300), slice(250, 420)), (slice(470, 512),) * 2],
)
def test_a_correction_is_deepest_in_what_is_wrong(corrected, region):
    def change(seen):
        seen[region] = ~seen[region]
        return seen

    click, truth, seen = corrected(change)
    # The view's end is no border: the last region is deepest in the view's corner.
    depths = np.asarray(distance_transform_edt(seen != truth))
    row, column = view_point(click)
    assert depths[row, column] == depths.max()
    assert (row, column) == tuple(np.argwhere(depths == depths.max())[0])
    assert click.kind == ("positive" if truth[column, row] else "negative")


def test_the_kind_is_looked_up_at_the_transposed_place(corrected):
    def change(seen):
        seen[308:312, 168:172] = ~seen[308:312, 168:172]
        return seen

    click, truth, _ = corrected(change)
    row, column = view_point(click)
    assert 308 <= row < 312
    assert 168 <= column < 172
    # Missed object, told as background: the transposed place is not object.
    assert truth[row, column]
    assert not truth[column, row]
    assert click.kind == "negative"


def test_when_nothing_is_wrong_the_upper_left_pixel_is_clicked(corrected):
    click, truth, _ = corrected(lambda seen: seen)
    assert view_point(click) == (0, 0)
    assert click.kind == "negative"
    assert not truth[0, 0]
    # Thirty pixels beyond the box, here beyond the image.
    assert click.pixel == (25 - 30, 41 - 30)


def test_other_openings_and_plain_maps_are_refused(disc):
    instance = disc(45, 60, 20)
    with pytest.raises(SimulatorError, match="inside-outside only"):
        simulator.open(instance, "click", rng)
    plain = np.zeros((90, 120), np.float32)
    with pytest.raises(SimulatorError, match="iog-refine:protocol=released only"):
        simulator.correct(instance, plain, plain > 0.5, [], rng)
