import numpy as np
import pytest

from isegbench.methods.processing.byte_scale import byte_scaled


def test_the_extremes_become_0_and_1_and_the_rest_is_rounded():
    values = np.array([[-0.1, 0.0, 0.4, 0.9]], np.float32)
    assert (byte_scaled(values) * 255).round().astype(int).tolist() == [[0, 26, 128, 255]]
    assert byte_scaled(values).dtype == np.float32


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_a_constant_map_becomes_zero(level):
    assert (byte_scaled(np.full((2, 3), level, np.float32)) == 0).all()


def test_the_level_204_is_not_above_the_threshold_of_dextr():
    """204 / 255 is 0.8 exactly; the evaluation's `> 0.8` leaves it out."""
    values = np.array([[0, 204, 205, 255]], np.float32) / 255
    assert (byte_scaled(values) > 0.8).tolist() == [[False, False, True, True]]
