"""The plain rule against brute force; its clicks against a recording: tests/parity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from isegbench.harness.simulators.rule import distances, next_click
from isegbench.harness.types import Click

regions = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=10))


def by_brute_force(region):
    """(H, W) int: each pixel's squared distance to the nearest pixel outside region or image."""
    outside = np.argwhere(~np.pad(region, 1)) - 1
    squared = np.zeros(region.shape, int)
    for pixel in np.argwhere(region):
        squared[tuple(pixel)] = ((outside - pixel) ** 2).sum(axis=1).min()
    return squared


@pytest.mark.parametrize("distance", ["opencv", "exact"])
@given(regions)
def test_distances_are_euclidean(distance, region):
    found = distances(region, distance)
    np.testing.assert_allclose(found, np.sqrt(by_brute_force(region)), rtol=1e-6)
    assert found.dtype == (np.float32 if distance == "opencv" else np.float64)


@given(regions, st.data())
def test_the_deepest_pixel_of_the_deeper_error_is_clicked(mask, data):
    truth = data.draw(arrays(np.uint8, mask.shape, elements=st.sampled_from([0, 1, 255])))
    clicks = []
    for _ in range(3):
        click = next_click(mask, truth, clicks, "exact")
        depths = {
            "positive": by_brute_force((truth == 1) & ~mask),
            "negative": by_brute_force((truth == 0) & mask),
        }
        for old in clicks:
            for depth in depths.values():
                depth[old.pixel] = 0
        positive, negative = (depth.max() for depth in depths.values())
        if positive == negative == 0:
            assert click is None
            return
        kind = "positive" if positive > negative else "negative"
        y, x = np.unravel_index(depths[kind].argmax(), mask.shape)
        assert click == Click(int(y), int(x), kind)
        clicks.append(click)


def test_only_positive_and_negative_clicks_are_left_out():
    truth = np.ones((3, 3), np.uint8)
    nothing = np.zeros((3, 3), bool)
    assert next_click(nothing, truth, [Click(1, 1, "corner")]) == Click(1, 1, "positive")
    click = next_click(nothing, truth, [Click(1, 1, "negative")])
    assert click is not None
    assert click.pixel != (1, 1)
