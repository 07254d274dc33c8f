import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import distance_transform_edt, gaussian_filter

from isegbench.harness.simulators.distance.region import bounding_box, errors, innermost
from isegbench.harness.types import Box

regions = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=12))


def squared_depths(region: np.ndarray) -> np.ndarray:
    """By brute force: squared distance of each pixel to the nearest outside the region or image."""
    height, width = region.shape
    padded = np.pad(region, 1)
    outside = np.argwhere(~padded) - 1
    depths = np.zeros(region.shape, int)
    for y in range(height):
        for x in range(width):
            if region[y, x]:
                depths[y, x] = ((outside - (y, x)) ** 2).sum(axis=1).min()
    return depths


@given(regions, st.sampled_from(["opencv", "exact"]))
def test_innermost_is_as_deep_as_brute_force_says(region, distance):
    depths = squared_depths(region)
    depth, at = innermost(region, distance=distance)
    assert depth == pytest.approx(np.sqrt(depths.max()), rel=1e-6)
    assert depths[at] == depths.max()


@given(regions)
def test_exact_takes_the_first_of_equals(region):
    _, at = innermost(region, distance="exact")
    if region.any():
        assert at == np.unravel_index(squared_depths(region).argmax(), region.shape)


@given(regions, st.data())
def test_avoided_pixels_are_not_chosen(region, data):
    inside = [tuple(map(int, pixel)) for pixel in np.argwhere(region)]
    avoid = data.draw(st.lists(st.sampled_from(inside), unique=True)) if inside else []
    depth, at = innermost(region, avoid)
    if len(avoid) == len(inside):
        assert (depth, at) == (0.0, (0, 0))
    else:
        assert at not in avoid
        assert region[at]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_exact_on_the_box_equals_the_whole_frame(seed):
    rng = np.random.default_rng(seed)
    region = gaussian_filter(rng.standard_normal((90, 120)), 6) > 0.03
    whole = np.asarray(distance_transform_edt(np.pad(region, 1)))[1:-1, 1:-1]
    depth, at = innermost(region, distance="exact")
    assert depth == whole.max()
    assert at == np.unravel_index(whole.argmax(), whole.shape)


def test_opencv_gives_the_same_click_whatever_its_threads_and_memory():
    import cv2

    rng = np.random.default_rng(1)
    regions = [gaussian_filter(rng.standard_normal((200, 301)), 5) > 0.02 for _ in range(5)]
    found, keep = set(), []
    for threads in (1, 2, 4, 1, 2):
        cv2.setNumThreads(threads)
        keep.append(np.empty(threads * 1000 + 16))
        found.add(tuple(innermost(region) for region in regions))
    assert len(found) == 1


@given(regions)
def test_bounding_box_is_tight(region):
    box = bounding_box(region)
    if box is None:
        assert not region.any()
    else:
        ys, xs = np.nonzero(region)
        assert box == Box(ys.min(), xs.min(), ys.max(), xs.max())


def test_ignored_pixels_are_never_wrong():
    truth = np.array([[0, 1, 255], [0, 1, 255]], np.uint8)
    mask = np.array([[True, True, True], [False, False, False]])
    false_negatives, false_positives = errors(mask, truth)
    assert false_negatives.tolist() == [[False, False, False], [False, True, False]]
    assert false_positives.tolist() == [[True, False, False], [False, False, False]]
