"""Checking what a method returns, and turning it into a mask."""

from typing import Any

import numpy as np

from .errors import MethodError


def checked_mask(probabilities: Any, shape: tuple[int, int], threshold: float) -> np.ndarray:
    """The predicted mask, (H, W) bool: probability strictly above the threshold.

    probabilities: what a method returned, a NumPy array or a torch tensor on any device; a tensor
    is compared where it lies and only the mask travels. Raises MethodError unless it is a float32
    map of the image's shape with every value in [0, 1].
    """
    kind = type(probabilities)
    tensor = hasattr(kind, "detach") and hasattr(kind, "aminmax")
    if not tensor and not issubclass(kind, np.ndarray):
        raise MethodError(
            f"predict returned {kind.__name__}; must be a NumPy array or a torch tensor"
        )
    if tuple(probabilities.shape) != shape:
        raise MethodError(
            f"predict returned a map of shape {tuple(probabilities.shape)}; must be the image's "
            f"(H, W) = {shape}"
        )
    if str(probabilities.dtype).removeprefix("torch.") != "float32":
        raise MethodError(f"predict returned dtype {probabilities.dtype}; must be float32")
    if tensor and probabilities.device.type != "cpu":
        return mask_from_device(probabilities.detach(), threshold)
    values = probabilities.detach().numpy() if tensor else probabilities
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):
        raise MethodError(_range_problem(values, low, high))
    return values > threshold


def on_gpu(probabilities: Any, shape: tuple[int, int]) -> bool:
    """Whether a prediction is a float32 tensor of that shape on a GPU."""
    device = getattr(probabilities, "device", None)
    return (
        getattr(device, "type", None) == "cuda"
        and tuple(probabilities.shape) == shape
        and str(probabilities.dtype) == "torch.float32"
    )


def mask_from_device(values: Any, threshold: float) -> np.ndarray:
    """The mask of a (H, W) float32 tensor, computed where it lies; the device is waited for once.

    Raises MethodError where a value is not in [0, 1].
    """
    # The range travels as one more byte behind the mask: False where a value is NaN, too.
    sound = ((values >= 0.0) & (values <= 1.0)).all()
    answer = values.new_empty(values.numel() + 1, dtype=sound.dtype)
    answer[:-1] = (values > threshold).flatten()
    answer[-1] = sound
    here = answer.cpu().numpy()
    if not here[-1]:
        raise MethodError(_range_problem(values, float(values.min()), float(values.max())))
    return here[:-1].reshape(values.shape)


def _range_problem(probabilities: Any, low: float, high: float) -> str:
    bad = int((probabilities != probabilities).sum())
    if bad:
        return f"predict returned NaN in {bad} pixel(s)"
    return f"predict returned values from {low:g} to {high:g}; must lie in [0, 1]"
