import numpy as np
from scipy.ndimage import label

from isegbench.harness.types import Box
from isegbench.methods.processing.focus_crop import component_at, focus_box, merged

WHOLE = Box(0, 0, 99, 199)


def rectangle(top, left, bottom, right, size=(100, 200)):
    mask = np.zeros(size, bool)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def test_components_are_those_of_scipy():
    mask = np.random.default_rng(0).random((40, 50)) < 0.4
    labels = np.empty(mask.shape, int)
    label(mask, np.ones((3, 3)), labels)
    for pixel in [(3, 4), (20, 20), (39, 49), (10, 33)]:
        expected = labels == labels[pixel] if mask[pixel] else ~mask
        np.testing.assert_array_equal(component_at(mask, pixel), expected)


def test_without_a_previous_mask_it_is_the_expanded_box_of_the_new_one():
    box = focus_box(rectangle(40, 60, 59, 99), np.zeros((100, 200), bool), (50, 80), WHOLE)
    # Rows 40..59 are 20 long: 28 about 49.5, from 35.5 to 63.5, rounded towards zero, end excluded.
    assert box == Box(35, 51, 62, 106)


def test_a_large_change_is_looked_at_as_a_whole():
    old, new = rectangle(40, 60, 59, 79), rectangle(40, 60, 59, 119)
    box = focus_box(new, old, (50, 100), WHOLE)
    assert box == Box(35, 71, 62, 126)


def test_a_small_change_is_looked_at_about_the_click():
    old, new = rectangle(20, 20, 79, 119), rectangle(20, 20, 79, 119)
    new[48:52, 118:124] = True
    box = focus_box(new, old, (50, 122), WHOLE)
    # The object is 103 wide and 59 high: 20.6 to each side of the click, then expanded.
    assert box == Box(20, 92, 78, 150)


def test_it_stays_inside():
    inside = Box(30, 40, 69, 99)
    box = focus_box(rectangle(0, 0, 99, 199), np.zeros((100, 200), bool), (50, 80), inside)
    assert box == inside


def test_only_the_clicked_change_is_kept():
    old = rectangle(40, 60, 59, 99)
    new = rectangle(40, 70, 59, 119) | rectangle(5, 5, 9, 9)
    added = merged(new, old, (50, 110))
    np.testing.assert_array_equal(added, rectangle(40, 60, 59, 119))
    removed = merged(new, old, (50, 65))
    np.testing.assert_array_equal(removed, rectangle(40, 70, 59, 99))


def test_a_click_that_changes_nothing_turns_all_unchanged_pixels():
    old = rectangle(40, 60, 59, 99)
    assert merged(old, old, (0, 0)).all()
    assert not merged(old, old, (50, 80)).any()
