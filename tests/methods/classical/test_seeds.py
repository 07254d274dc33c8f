"""Clicks become seeds: discs, boxes and the stand-ins for what was not clicked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isegbench.harness.types import KINDS, Click
from isegbench.methods.classical.seeds import draw_seeds


def test_a_disc_holds_the_pixels_within_its_radius():
    seeds = draw_seeds((21, 21), [Click(10, 9, "positive")], radius=5)
    rows, columns = np.mgrid[:21, :21]
    inside = (rows - 10) ** 2 + (columns - 9) ** 2 <= 25
    np.testing.assert_array_equal(seeds.positive, inside)


def test_the_later_of_two_overlapping_discs_wins():
    first, second = Click(10, 9, "positive"), Click(10, 12, "negative")
    forth = draw_seeds((21, 21), [first, second], radius=3)
    back = draw_seeds((21, 21), [second, first], radius=3)
    assert forth.negative[10, 10]
    assert not forth.positive[10, 10]
    assert back.positive[10, 10]
    # A disc of radius 3 has 29 pixels; the frame of 21 x 21 has 80.
    assert forth.negative.sum() == 29 + 80
    assert back.positive.sum() == 29


def test_a_side_of_the_frame_is_background_until_a_positive_disc_touches_it():
    seeds = draw_seeds((9, 9), [Click(0, 4, "positive")], radius=1)
    expected = np.zeros((9, 9), bool)
    expected[-1] = expected[:, 0] = expected[:, -1] = True
    np.testing.assert_array_equal(seeds.negative, expected)
    seeds = draw_seeds((9, 9), [Click(4, 4, "positive"), Click(4, 6, "negative")], radius=1)
    assert seeds.negative.sum() == 32 + 5
    seeds = draw_seeds((9, 9), [Click(4, 8, "positive"), Click(4, 6, "negative")], radius=1)
    assert not seeds.negative[1:-1, -1].any()
    assert seeds.negative[:, 0].all()


def test_a_frame_touched_on_all_sides_stays_where_there_is_no_disc():
    corners = [Click(0, 0, "positive"), Click(8, 8, "positive")]
    assert draw_seeds((9, 9), corners, radius=0).negative.sum() == 30
    clicks = [*corners, Click(4, 4, "negative")]
    assert np.argwhere(draw_seeds((9, 9), clicks, radius=0).negative).tolist() == [[4, 4]]


def test_outside_of_a_box_is_background_and_its_centre_object():
    corners = [Click(2, 3, "corner"), Click(6, 9, "corner")]
    seeds = draw_seeds((12, 12), corners, radius=0)
    inside = np.zeros((12, 12), bool)
    inside[2:7, 3:10] = True
    np.testing.assert_array_equal(seeds.negative, ~inside)
    assert np.argwhere(seeds.positive).tolist() == [[4, 6]]
    seeds = draw_seeds((12, 12), [*corners, Click(3, 4, "positive")], radius=0)
    assert np.argwhere(seeds.positive).tolist() == [[3, 4]]


def test_a_click_outside_the_image_moves_to_its_border():
    seeds = draw_seeds((5, 6), [Click(-3, 7.4, "positive")], radius=0)
    assert np.argwhere(seeds.positive).tolist() == [[0, 5]]


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 6),
    st.lists(
        st.builds(Click, st.floats(-3, 14), st.floats(-3, 14), st.sampled_from(KINDS)),
        max_size=6,
    ),
)
def test_seeds_are_disjoint_and_the_newest_click_is_one(height, width, radius, clicks):
    seeds = draw_seeds((height, width), clicks, radius)
    assert seeds.positive.shape == seeds.negative.shape == (height, width)
    assert not (seeds.positive & seeds.negative).any()
    if clicks and clicks[-1].kind in ("positive", "negative"):
        row, column = clicks[-1].pixel
        row, column = min(max(row, 0), height - 1), min(max(column, 0), width - 1)
        assert getattr(seeds, clicks[-1].kind)[row, column]
