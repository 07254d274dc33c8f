"""The fast search against the plain rule: same pixel, same last bit."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import gaussian_filter

from isegbench.harness.registry import datasets
from isegbench.harness.simulators.distance import transform
from isegbench.harness.simulators.distance.deepest import Deepest
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.rule import Distance, distances, next_click
from isegbench.harness.types import Instance

DISTANCES: list[Distance] = ["opencv", "exact"]


def reference(region, avoid, distance):
    depths = distances(region, distance)
    for pixel in avoid:
        depths[pixel] = 0
    at = np.unravel_index(depths.argmax(), depths.shape)
    return (float(depths[at]), at) if depths.max() > 0 else (0.0, (0, 0))


def clouds(seed, height, width, width_of_blobs, share):
    noise = gaussian_filter(np.random.default_rng(seed).standard_normal((height, width)), 1)
    noise = gaussian_filter(noise, width_of_blobs)
    return noise > np.quantile(noise, 1 - share)


def some_pixels(rng, region, count):
    inside = np.argwhere(region)
    chosen = inside[rng.integers(0, len(inside), count)] if len(inside) else inside
    return [(int(y), int(x)) for y, x in chosen]


@given(
    arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=24)),
    st.sampled_from(DISTANCES),
    st.data(),
)
def test_small_regions(region, distance, data):
    pixels = st.tuples(*(st.integers(0, side - 1) for side in region.shape))
    avoid = data.draw(st.lists(pixels, max_size=5))
    search = Deepest(region, avoid, distance)
    found = search.find()
    assert found == reference(region, avoid, distance)
    assert (search.at_most == 0) == (found[0] == 0)
    assert found[0] <= search.at_most


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(20, 260),
    st.integers(20, 300),
    st.sampled_from([0, 1, 3, 8, 20]),
    st.sampled_from([0.02, 0.3, 0.6, 0.9, 0.99]),
    st.sampled_from(DISTANCES),
)
def test_regions_of_any_size_and_shape(seed, height, width, width_of_blobs, share, distance):
    region = clouds(seed, height, width, width_of_blobs, share)
    rng = np.random.default_rng(seed)
    # Clicks where the deepest pixels are, as a simulated user leaves them, and elsewhere.
    avoid = some_pixels(rng, region, 4)
    for _ in range(3):
        found = Deepest(region, avoid, distance).find()
        assert found == reference(region, avoid, distance)
        avoid.append(found[1])


@pytest.mark.parametrize("shape", [(480, 854), (321, 481), (375, 500), (333, 500)])
def test_shapes_full_of_ties(shape):
    rows, columns = np.indices(shape)
    regions = {
        "full": np.ones(shape, bool),
        "stripes": rows % 30 < 29,
        "wide stripes": columns % 90 > 10,
        "grid": (rows % 41 > 0) & (columns % 41 > 0),
        "frame": (rows < 13) | (columns > shape[1] - 20),
        "diagonals": (rows + columns) % 50 < 37,
        "disc": (rows - 150) ** 2 + (columns - 200) ** 2 < 140**2,
        "points": (rows % 7 == 0) & (columns % 5 == 0),
    }
    for name, region in regions.items():
        for distance in DISTANCES:
            assert Deepest(region, (), distance).find() == reference(region, (), distance), name


def test_windows_have_the_bits_of_the_whole_frame_with_this_opencv():
    """Elsewhere the search is correct as well, but slower."""
    assert transform._windows_agree()


def test_where_windows_do_not_agree_the_whole_frame_is_transformed(monkeypatch):
    regions = [clouds(seed, 203, 317, 6, 0.5) for seed in range(4)]
    expected = [Deepest(region).find() for region in regions]
    monkeypatch.setattr(transform, "_windows_agree", lambda: False)
    assert [Deepest(region).find() for region in regions] == expected


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(DISTANCES), st.sampled_from([2, 5, 12]))
def test_the_click_is_that_of_the_plain_rule(seed, distance, width_of_blobs):
    truth = clouds(seed, 150, 171, width_of_blobs, 0.4).astype(np.uint8)
    truth[clouds(seed + 1, 150, 171, 5, 0.05)] = 255
    mask = clouds(seed + 2, 150, 171, width_of_blobs, 0.4)
    instance = Instance("d", "i", "i", np.zeros((150, 171, 3), np.uint8), truth)
    simulator, clicks = LargestError(distance), []
    for _ in range(4):
        click = simulator.correct(instance, None, mask, clicks, np.random.default_rng(0))
        assert click == next_click(mask, truth, clicks, distance)
        clicks.append(click)


def predictions(target):
    """Wrong masks: eroded, dilated, shifted, noisy, empty, full."""
    square = np.ones((9, 9), np.uint8)
    plain = target.astype(np.uint8)
    noisy = plain ^ (np.random.default_rng(1).random(target.shape) < 0.3)
    yield cv2.erode(plain, square) > 0
    yield cv2.dilate(plain, square) > 0
    yield np.roll(target, (6, -9), axis=(0, 1))
    yield cv2.medianBlur(noisy.astype(np.uint8), 5) > 0
    yield np.zeros_like(target)
    yield np.ones_like(target)


@pytest.mark.parametrize("name", ["grabcut", "berkeley", "davis"])
def test_the_click_on_real_masks(shared, name):
    refs = datasets.build(name, data_root=shared("data")).instances()
    for ref in refs[:: max(1, len(refs) // 8)]:
        instance = ref.load()
        for mask in predictions(instance.mask == 1):
            for distance in DISTANCES:
                click = LargestError(distance).correct(
                    instance, None, mask, [], np.random.default_rng(0)
                )
                assert click == next_click(mask, instance.mask, [], distance), ref.name
