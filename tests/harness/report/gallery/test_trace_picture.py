"""The picture of a trace, looked at pixel by pixel."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.report.gallery.trace_picture import MARKS, draw_trace, save_picture
from isegbench.harness.types import Click

GREY = np.full((60, 80, 3), 128, np.uint8)


def truth() -> np.ndarray:
    mask = np.zeros((60, 80), np.uint8)
    mask[20:40, 30:60] = 1
    return mask


def near(picture: np.ndarray, colour: str) -> np.ndarray:
    """(H, W) bool: pixels of about this colour."""
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
    return np.all(np.abs(picture.astype(int) - wanted) < 25, axis=2)


def test_a_panel_for_the_truth_and_one_for_each_step() -> None:
    one = draw_trace(GREY, truth(), [((Click(30, 40, "positive"),), truth() > 0, 1.0)])
    many = draw_trace(GREY, truth(), [((Click(30, 40, "positive"),), truth() > 0, 1.0)] * 12)
    assert one.dtype == np.uint8
    assert one.shape[2] == 3
    # 13 panels take three rows of five, 2 panels one.
    assert many.shape[0] > 2 * one.shape[0] - 60
    for kind in ("positive", "corner"):
        assert near(one, MARKS[kind][0]).any() == (kind == "positive")


@pytest.mark.parametrize("kind", list(MARKS))
def test_a_click_is_where_it_was_made(kind: str) -> None:
    """Two pictures that differ in one click differ around that click, and in the legend."""
    step = (None, None)
    a = draw_trace(GREY, truth(), [((Click(0, 0, kind),), *step)])  # type: ignore
    b = draw_trace(GREY, truth(), [((Click(45, 20, kind),), *step)])  # type: ignore
    # The panel of the step is as large as that of the truth: find the truth's frame by its colour.
    gray = (np.abs(b.astype(int) - 128) < 3).all(axis=2)
    columns = np.flatnonzero(gray.sum(axis=0) > 100)
    left = columns[np.flatnonzero(np.diff(columns) > 10)[-1] + 1]
    width = columns[-1] - left
    rows = np.flatnonzero(gray.sum(axis=1) > 200)
    y = rows[0] + (45.5 / 60) * (rows[-1] - rows[0])
    x = left + (20.5 / 80) * width
    changed = np.argwhere((a != b).any(axis=2) & near(b, MARKS[kind][0]))
    assert len(changed) > 20
    assert np.abs(changed.mean(axis=0) - (y, x)).max() < 4


def test_the_mask_is_tinted_and_the_rest_dimmed() -> None:
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    clicks = (Click(30, 60, "positive"),)
    without = draw_trace(GREY, truth(), [(clicks, None, None)])
    drawn = draw_trace(GREY, truth(), [(clicks, mask, 0.1)])
    assert drawn.shape == without.shape
    changed = drawn[(without == 128).all(axis=2) & (drawn != without).any(axis=2)].astype(int)
    bluish = changed[:, 2] - changed[:, 0] > 40
    dim = (changed.max(axis=1) < 110) & ~bluish
    assert 0.3 < bluish.mean() < 0.7
    assert 0.3 < dim.mean() < 0.7


def test_ignored_pixels_are_marked_in_the_truth() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    ignoring = truth()
    ignoring[:, :15] = 255
    steps = [((Click(30, 40, "positive"),), None, None)]
    a, b = draw_trace(image, truth(), steps), draw_trace(image, ignoring, steps)
    added = near(b, "#616161") & ~near(a, "#616161")
    assert added.sum() > 0.1 * 15 / 80 * a.shape[0] * a.shape[1] / 2


@pytest.mark.parametrize("shape", [(3, 500), (500, 3), (1, 1), (2000, 1500)])
def test_images_of_any_shape(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    mask = np.ones(shape, np.uint8)
    picture = draw_trace(image, mask, [((Click(0, 0, "negative"),), mask > 0, 1.0)], title="$a_b$")
    assert picture.shape[1] > 300


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="image must be uint8"):
        draw_trace(GREY.astype(float), truth(), [])
    with pytest.raises(UserError, match="truth is"):
        draw_trace(GREY, truth()[:5], [])
    with pytest.raises(UserError, match="mask 1 is"):
        draw_trace(GREY, truth(), [((), np.ones((2, 2), bool), 0.5)])


def test_a_saved_picture_reads_back(tmp_path: Path) -> None:
    picture = draw_trace(GREY, truth(), [])
    path = tmp_path / "new" / "x.png"
    save_picture(picture, path)
    stored = cv2.imread(str(path))
    assert stored is not None
    back = cv2.cvtColor(stored, cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(back, picture)
    with pytest.raises(UserError, match=r"must end in \.png"):
        save_picture(picture, tmp_path / "x.tif")
