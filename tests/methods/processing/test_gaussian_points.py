import numpy as np

from isegbench.methods.processing.gaussian_points import gaussian_map


def test_half_height_is_reached_half_the_width_away():
    found = gaussian_map(np.array([[10, 20]]), (30, 40), full_width=8)
    assert found[10, 20] == 1
    np.testing.assert_allclose(found[[6, 14, 10, 10], [20, 20, 16, 24]], 0.5)
    assert found.dtype == np.float64


def test_several_points_give_the_highest_bump_even_from_outside():
    points = np.array([[2, 3], [9.5, -4], [100, 100]])
    single = [gaussian_map(point[None], (12, 9)) for point in points]
    np.testing.assert_array_equal(gaussian_map(points, (12, 9)), np.max(single, axis=0))
    assert gaussian_map(points[1:2], (12, 9)).max() > 0.4


def test_no_point_gives_an_empty_map():
    assert (gaussian_map(np.empty((0, 2)), (3, 4)) == 0).all()
