import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.methods.nets.click_maps import disk_maps, distance_maps, points_tensor

SIZE = (9, 13)
coordinate = st.floats(-20, 20, width=32)
clicks = st.lists(st.tuples(coordinate, coordinate, st.booleans()), max_size=6)


def nearest(points, positive):
    """Distance of each pixel to the nearest click of a kind, one pixel at a time."""
    kept = [(y, x) for y, x, sign in points if sign == positive and max(y, x) >= 0]
    full = np.full(SIZE, np.inf)
    for row, column in np.ndindex(SIZE):
        for y, x in kept:
            full[row, column] = min(full[row, column], np.hypot(row - y, column - x))
    return full


@settings(max_examples=50, deadline=None)
@given(st.lists(clicks, min_size=1, max_size=3))
def test_distance_maps_agree_with_a_loop_over_pixels(batch):
    maps = distance_maps(points_tensor(batch), SIZE, radius=10).numpy()
    for points, (positive, negative) in zip(batch, maps, strict=True):
        np.testing.assert_allclose(positive, np.tanh(nearest(points, True) / 5), atol=1e-5)
        np.testing.assert_allclose(negative, np.tanh(nearest(points, False) / 5), atol=1e-5)


def test_a_map_without_clicks_is_far_away_everywhere():
    maps = distance_maps(points_tensor([[]]), SIZE)
    assert (maps == 1).all()
    assert (disk_maps(points_tensor([[]]), SIZE) == 0).all()


@settings(max_examples=50, deadline=None)
@given(clicks)
def test_disks_hold_the_pixels_within_reach(points):
    whole = [(float(round(y)), float(round(x)), sign) for y, x, sign in points]
    positive, negative = disk_maps(points_tensor([whole]), SIZE, radius=5)[0].numpy()
    np.testing.assert_array_equal(positive, nearest(whole, True) <= 5)
    np.testing.assert_array_equal(negative, nearest(whole, False) <= 5)


def test_disks_include_their_edge_and_measure_from_fractions():
    maps = disk_maps(points_tensor([[(4.0, 5.5, True)]]), SIZE, radius=2.5)
    assert maps[0, 0, 4].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_only_the_first_clicks_count_under_a_limit():
    points = [(1.0, 1.0, True), (2.0, 2.0, False), (3.0, 3.0, True)]
    assert points_tensor([points], limit=2).tolist() == [[[1, 1], [2, 2]]]
    assert points_tensor([points]).tolist() == [[[1, 1], [3, 3], [2, 2], [-1, -1]]]


def test_padding_for_a_neighbour_in_the_batch_changes_nothing():
    lonely, busy = [(4.0, 4.0, True)], [(1.0, 2.0, True), (5.0, 5.0, False), (7.0, 2.0, False)]
    together = distance_maps(points_tensor([lonely, busy]), SIZE)
    assert torch.equal(together[:1], distance_maps(points_tensor([lonely]), SIZE))


def test_no_room_for_a_click_of_either_kind_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        distance_maps(torch.empty(1, 0, 2), SIZE)
