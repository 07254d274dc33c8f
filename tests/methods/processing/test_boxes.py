import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from isegbench.harness.types import Box
from isegbench.methods.processing.boxes import box_of, crop, paste

sides = st.integers(-6, 12)


@given(sides, sides, st.integers(0, 12), st.integers(0, 12), st.integers(1, 3))
def test_crop_and_paste_agree_with_a_loop(top, left, height, width, channels):
    box = Box(top, left, top + height, left + width)
    image = np.arange(1, 5 * 7 * channels + 1).reshape(5, 7, channels)
    found = crop(image, box)
    assert found.shape == (box.height, box.width, channels)
    for row, column in np.ndindex(box.height, box.width):
        y, x = top + row, left + column
        inside = 0 <= y < 5 and 0 <= x < 7
        assert (found[row, column] == (image[y, x] if inside else 0)).all()
    back = paste(found[..., 0], box, (5, 7))
    for y, x in np.ndindex(5, 7):
        inside = top <= y <= box.bottom and left <= x <= box.right
        assert back[y, x] == (image[y, x, 0] if inside else 0)


def test_the_tight_box_and_its_margin():
    box = box_of(np.array([[3, 9], [7, 2], [5, 5]]))
    assert box == Box(3, 2, 7, 9)
    assert (box.height, box.width) == (5, 8)
    assert box.grown(4) == Box(-1, -2, 11, 13)
    assert box.grown(4).grown(-4) == box
