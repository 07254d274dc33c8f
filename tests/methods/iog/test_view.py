import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from isegbench.harness.types import Box
from isegbench.methods.iog.guidance import (
    INSIDE,
    OUTSIDE,
    corners,
    guidance,
    opening_guidance,
    opening_of,
    with_click,
)
from isegbench.methods.iog.view import MARGIN, CropView
from isegbench.methods.processing.boxes import box_of

views = st.builds(
    lambda top, left, height, width, side: CropView(
        Box(top, left, top + height, left + width), side
    ),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 300),
    st.integers(0, 300),
    st.sampled_from([128, 256, 512]),
)


@given(views, st.integers(0, 127), st.integers(0, 127))
def test_a_pixel_holds_the_middle_of_the_views_pixel(view, row, column):
    """And going there and back moves by at most what one image pixel measures in the view."""
    y, x = view.pixel(row, column)
    assert abs((row + 0.5) * view.box.height / view.side + view.box.top - y - 0.5) <= 0.5 + 1e-9
    back = view.point(y, x)
    assert abs(back[0] - row) <= max(1, 0.5 + view.side / view.box.height / 2)
    assert abs(back[1] - column) <= max(1, 0.5 + view.side / view.box.width / 2)


@settings(deadline=None, max_examples=30)
@given(views)
def test_the_tight_box_is_where_its_pixels_are_seen(view):
    """Against drawing the box in the image and looking at it."""
    tight = view.tight
    target = np.zeros((700, 700), bool)
    target[tight.top : tight.bottom + 1, tight.left : tight.right + 1] = True
    if view.side < max(view.box.height, view.box.width):
        return  # linear resizing skips pixels when it shrinks
    assert view.tight_box() == box_of(np.argwhere(view.mask(target)))


def test_the_view_is_zero_beyond_the_image_and_pastes_back_in_place():
    rows, columns = np.mgrid[:80, :60]
    image = np.dstack([rows, columns, np.full((80, 60), 99)]).astype(np.uint8)
    view = CropView(Box(5, 10, 74, 40), 256)
    picture = view.picture(image)
    assert picture.dtype == np.float32
    row, column = view.point(40, 30)
    np.testing.assert_allclose(picture[row, column], (40, 30, 99), atol=0.5)
    above, _ = view.point(-10, 30)
    assert (picture[:above] == 0).all()
    pasted = view.in_image(picture[..., 0].copy(), (80, 60))
    assert pasted.shape == (80, 60)
    np.testing.assert_allclose(pasted[2:78, 5:55], rows[2:78, 5:55], atol=1)
    assert CropView(Box(5, 5, 9, 9), 256).in_image(
        np.ones((256, 256), np.float32), (80, 60)
    ).sum() == ((9 + MARGIN + 1) ** 2)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000))
def test_the_opening_is_the_box_and_the_deepest_pixel(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((64, 64), bool)
    for _ in range(3):
        y, x, r = rng.integers(0, 64, 3)
        rows, columns = np.mgrid[:64, :64]
        mask |= np.hypot(rows - y, columns - x) <= r / 4
    depths = np.asarray(distance_transform_edt(np.pad(mask, 1)))[1:-1, 1:-1]
    found = opening_of(mask)
    assert found is not None
    assert found.inside == divmod(int(depths.argmax()), 64)
    rows, columns = np.nonzero(mask)
    assert found.box == Box(rows.min(), columns.min(), rows.max(), columns.max())


def test_corners_move_outward_and_stop_one_pixel_beyond_the_view():
    assert corners(Box(30, 40, 100, 200), 512).tolist() == [
        [20, 30],
        [110, 30],
        [20, 210],
        [110, 210],
    ]
    assert corners(Box(3, 40, 511, 505), 512).tolist() == [[0, 30], [512, 30], [0, 512], [512, 512]]
    assert corners(Box(30, 40, 100, 200), 256)[0].tolist() == [25, 35]


def test_guidance_is_stretched_over_both_channels():
    mask = np.zeros((128, 128), bool)
    mask[40:90, 30:100] = True
    maps = opening_guidance(opening_of(mask), 128)
    assert maps.shape == (2, 128, 128)
    assert maps.dtype == np.float32
    assert maps.min() == 0
    peaks = maps.max(axis=(1, 2))
    np.testing.assert_allclose(peaks, 255, rtol=1e-6)
    opening = opening_of(mask)
    assert opening is not None
    assert np.argwhere(maps[INSIDE] == maps.max()).tolist() == [list(opening.inside)]
    assert len(np.argwhere(maps[OUTSIDE] == maps.max())) == 4
    # Half of the height at half of the width, which is 10 pixels of 512.
    wide = guidance(np.array([[256, 256]]), np.empty((0, 2)), 512)
    assert wide[INSIDE, 256, 261] == pytest.approx(127.5, abs=0.1)
    assert (wide[OUTSIDE] == 0).all()


def test_a_vanished_object_gives_no_guidance():
    assert opening_of(np.zeros((8, 8), bool)) is None
    assert (opening_guidance(None, 16) == 0).all()
    assert (guidance(np.empty((0, 2)), np.empty((0, 2)), 16) == 0).all()


def test_an_added_click_raises_its_channel_only():
    maps = guidance(np.array([[20, 20]]), np.array([[5, 5]]), 64)
    found = with_click(maps, (40, 50), OUTSIDE)
    np.testing.assert_allclose(found[INSIDE], maps[INSIDE], rtol=1e-6)
    assert found[OUTSIDE, 40, 50] == 255
    assert (found[OUTSIDE] >= maps[OUTSIDE] * (1 - 1e-6)).all()
    assert np.argwhere(found[OUTSIDE] == 255).tolist() == [[5, 5], [40, 50]]
    cut = with_click(maps, (40, 50), OUTSIDE, truncate=True)
    np.testing.assert_array_equal(cut, np.floor(found))
    again = with_click(cut, (40, 50), OUTSIDE, truncate=True)
    np.testing.assert_array_equal(again, cut)
