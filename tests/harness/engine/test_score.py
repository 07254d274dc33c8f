import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isegbench.harness.engine.score import checked_mask, mask_from_device
from isegbench.harness.errors import MethodError


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.floats(0, 1))
def test_tensors_and_arrays_give_the_same_mask(values, threshold):
    array = np.array([values], np.float32)
    mask = checked_mask(array, array.shape, threshold)
    assert mask.dtype == bool
    np.testing.assert_array_equal(
        mask, checked_mask(torch.tensor(array, requires_grad=True), array.shape, threshold)
    )
    np.testing.assert_array_equal(mask, array > np.float32(threshold))
    # A CPU stands in for a device: the same operations, the same one byte behind the mask.
    np.testing.assert_array_equal(mask, mask_from_device(torch.tensor(array), threshold))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [(1.5, "from 0 to 1.5"), (-0.1, "from -0.1"), (float("nan"), "NaN in 1")],
)
def test_values_out_of_range_are_found_on_a_device_too(wrong, complaint):
    values = torch.zeros(3, 4)
    values[1, 2] = wrong
    for refuse in (
        lambda: mask_from_device(values, 0.5),
        lambda: checked_mask(values, (3, 4), 0.5),
    ):
        with pytest.raises(MethodError, match=complaint):
            refuse()


def test_the_threshold_itself_is_background():
    assert not checked_mask(np.full((2, 2), 0.5, np.float32), (2, 2), 0.5).any()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_tensors_on_a_gpu():
    map_ = torch.rand(5, 6, device="cuda")
    np.testing.assert_array_equal(checked_mask(map_, (5, 6), 0.5), map_.cpu().numpy() > 0.5)
