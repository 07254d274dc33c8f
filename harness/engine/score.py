"""What follows a prediction: its mask, its scores, and the next click or the end of the trace."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import MethodError
from ..metrics.scores import boundary_iou, iou
from ..store.masks import encode_mask
from ..types import Click, Instance
from .guard import Failure, guard
from .session import LiveSession, Settings

#: Called after every prediction with the instance, the clicks so far, the mask and its IoU.
Observer = Callable[[Instance, Sequence[Click], np.ndarray, float], None]


def score(live: LiveSession, settings: Settings, observe: Observer | None) -> LiveSession:
    """Score the newest prediction; the session then has its next click, or its trace."""
    started = perf_counter()
    instance, method = live.instance, live.pairing.method
    failures: list[Failure] = []
    with guard("method-failed", failures.append):
        mask = checked_mask(live.prediction, instance.mask.shape, method.threshold)
    failure = failures[0] if failures else _too_late(live.predict_seconds, settings.time_limit)
    if failure:
        live.fail(failure)
        return live
    value = iou(mask, instance.mask)
    boundary = boundary_iou(mask, instance.mask) if settings.boundary_iou else None
    if observe:
        observe(instance, live.clicks, mask, value)
    reached = settings.stop_at is not None and value >= settings.stop_at
    click = None
    if method.corrections and len(live.clicks) < settings.clicks and not reached:
        with guard("simulator-failed", failures.append):
            click = live.pairing.simulator.correct(
                instance, live.prediction, mask, live.clicks, live.rng
            )
    live.add_score(value, boundary, perf_counter() - started)
    if failures:
        live.fail(failures[0])
    elif click is None:
        live.succeed(encode_mask(mask) if settings.save_masks else None)
    else:
        live.add_click(click)
    return live


def _too_late(seconds: float, limit: float | None) -> Failure | None:
    if limit is None or seconds <= limit:
        return None
    late = f"predict took {seconds:.3g} s; the limit is {limit:g} s a click"
    return Failure("timed-out", late)


def checked_mask(probabilities: Any, shape: tuple[int, ...], threshold: float) -> np.ndarray:
    """The predicted mask, (H, W) bool: probability strictly above the threshold.

    probabilities: what a method returned, a NumPy array or a torch tensor on any device; a tensor
    is compared where it lies and only the mask is copied. Raises MethodError unless it is a float32
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


def mask_from_device(values: Any, threshold: float) -> np.ndarray:
    """The mask of a (H, W) float32 tensor, computed on its device and copied once.

    Raises MethodError where a value is not in [0, 1].
    """
    # The range check is one more byte behind the mask: False where a value is NaN, too.
    in_range = ((values >= 0.0) & (values <= 1.0)).all()
    answer = values.new_empty(values.numel() + 1, dtype=in_range.dtype)
    answer[:-1] = (values > threshold).flatten()
    answer[-1] = in_range
    copied = answer.cpu().numpy()
    if not copied[-1]:
        raise MethodError(_range_problem(values, float(values.min()), float(values.max())))
    return copied[:-1].reshape(values.shape)


def _range_problem(probabilities: Any, low: float, high: float) -> str:
    bad = int((probabilities != probabilities).sum())
    if bad:
        return f"predict returned NaN in {bad} pixel(s)"
    return f"predict returned values from {low:g} to {high:g}; must lie in [0, 1]"
