import numpy as np
import torch

from isegbench.methods.runtime.device import to_device


def test_on_a_cpu_nothing_is_copied():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    tensor = to_device(array, torch.device("cpu"))
    array[0, 0] = 9
    assert tensor[0, 0] == 9
    assert tensor.dtype == torch.float32


def test_another_device_that_is_no_gpu():
    """The meta device has shapes and no values: enough to see where a tensor went."""
    moved = to_device(np.zeros((2, 3), np.float32), torch.device("meta"))
    assert moved.device.type == "meta"
    assert moved.shape == (2, 3)
