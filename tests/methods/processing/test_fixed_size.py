import numpy as np
import pytest
import torch

from isegbench.methods.processing.fixed_size import FixedZoom, every_click

CLICKS = [(20.0, 90.0, True), (70.0, 10.0, False)]
SHAPE = (80, 120)


def blob(top, left, bottom, right):
    found = np.zeros(SHAPE, np.float32)
    found[top : bottom + 1, left : right + 1] = 0.9
    return found


def test_the_whole_image_is_resized_before_there_is_a_box():
    view = every_click(64).look(SHAPE, CLICKS[:1], None, None)
    assert (view.roi, view.size) == (None, (64, 64))
    ramp = torch.arange(120.0).expand(1, 1, *SHAPE)
    assert view.take(ramp).shape == (1, 1, 64, 64)
    assert view.points(CLICKS) == [
        pytest.approx((20 * 64 / 80, 90 * 64 / 120, True)),
        pytest.approx((70 * 64 / 80, 10 * 64 / 120, False)),
    ]
    torch.testing.assert_close(view.paste(view.take(ramp), SHAPE), ramp, atol=1e-3, rtol=0)


def test_the_box_is_found_anew_at_every_click():
    zoom = every_click(64)
    first = zoom.look(SHAPE, CLICKS, blob(10, 70, 29, 99), None)
    assert first.roi is not None
    rows, columns = first.roi.slices
    # 20 rows expanded to 28 about 19.5, 30 columns to 42 about 84.5.
    assert (rows, columns) == (slice(6, 35), slice(64, 107))
    second = zoom.look(SHAPE, CLICKS, blob(10, 70, 30, 99), first.roi)
    assert second.roi != first.roi
    assert second.size == (64, 64)
    row, column, _ = second.points(CLICKS)[0]
    assert second.roi is not None
    rows, columns = second.roi.slices
    assert row == pytest.approx((20 - rows.start) * 64 / (rows.stop - rows.start))
    assert column == pytest.approx((90 - columns.start) * 64 / (columns.stop - columns.start))


def test_an_empty_mask_leaves_the_old_box_in_force():
    zoom = every_click(64)
    old = zoom.look(SHAPE, CLICKS, blob(10, 70, 29, 99), None).roi
    view = zoom.look(SHAPE, CLICKS, blob(0, 0, -1, -1), old)
    assert view.roi == old
    assert view.crop is None


@pytest.mark.parametrize("previous", [None, np.zeros(SHAPE, np.float32)])
def test_from_the_first_click_on_the_box_is_the_whole_image(previous):
    zoom = FixedZoom(target=64, skip_clicks=-1, from_first=True)
    view = zoom.look(SHAPE, CLICKS[:1], previous, None)
    assert view.roi is not None
    assert view.roi.slices == (slice(0, 80), slice(0, 120))
    assert view.crop == view.roi
