"""What follows a prediction: its mask, its scores, and the next click or the end of the trace."""

import sys
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import MethodError
from ..metrics.scores import boundary_iou, iou
from ..store.masks import encode_mask
from ..types import Click, Instance, MapInView
from .guard import Failure, attempt
from .session import LiveSession, Settings

#: Called after every prediction with the instance, the clicks so far, the mask and its IoU.
Observer = Callable[[Instance, Sequence[Click], np.ndarray, float], None]


def score(live: LiveSession, settings: Settings, observe: Observer | None) -> LiveSession:
    """Score the newest prediction; the session then has its next click, or its trace."""
    started = perf_counter()
    instance, declared = live.instance, live.pairing.declared
    mask = attempt(
        lambda: checked_mask(live.prediction, instance.mask.shape, declared.threshold),
        "method-failed",
    )
    if isinstance(mask, Failure):
        live.fail(mask)
        return live
    late = _too_late(live.predict_seconds, settings.time_limit)
    if late:
        live.fail(late)
        return live
    value = iou(mask, instance.mask)
    boundary = boundary_iou(mask, instance.mask) if settings.boundary_iou else None
    if observe:
        observe(instance, live.clicks, mask, value)
    reached = settings.stop_at is not None and value >= settings.stop_at
    click = None
    if declared.corrections and len(live.clicks) < settings.clicks and not reached:
        click = attempt(
            lambda: live.pairing.simulator.correct(
                instance, live.prediction, mask, live.clicks, live.rng
            ),
            "simulator-failed",
        )
    live.add_score(value, boundary, perf_counter() - started)
    if isinstance(click, Failure):
        live.fail(click)
    elif click is None:
        live.succeed(encode_mask(mask) if settings.save_masks else None)
    else:
        live.add_click(click)
    return live


def _too_late(seconds: float, limit: float | None) -> Failure | None:
    if limit is None or seconds <= limit:
        return None
    said = f"predict took {seconds:.3g} s; the limit is {limit:g} s a click"
    return Failure("timed-out", said)


def checked_mask(probabilities: Any, shape: tuple[int, ...], threshold: float) -> np.ndarray:
    """The predicted mask, (H, W) bool: probability strictly above the threshold.

    probabilities: what a method returned, a NumPy array or a torch tensor on any device; a tensor
    is compared where it lies and only the mask is copied. Raises MethodError unless it is a float32
    map of the image's shape with every value in [0, 1].
    """
    values = _plain_map(probabilities, shape)
    if not isinstance(values, np.ndarray):
        if values.device.type != "cpu":
            return mask_from_device(values, threshold)
        values = values.numpy()
    low, high = float(values.min()), float(values.max())
    if not (low >= 0.0 and high <= 1.0):
        raise MethodError(_range_problem(values, low, high))
    return values > threshold


def own_map(probabilities: Any, shape: tuple[int, ...]) -> Any:
    """A copy of what a method returned, on the same device; values are not looked at.

    An array stays a NumPy array and a tensor a tensor, both without gradient and without subclass,
    but for `MapInView`. Raises MethodError unless it is a float32 map of the image's shape.
    """
    values = _plain_map(probabilities, shape)
    if not isinstance(values, np.ndarray):
        return values.clone()
    if type(probabilities) is MapInView and probabilities.in_view is not None:
        return MapInView.of(np.array(values), np.array(probabilities.in_view))
    return np.array(values)


def _plain_map(probabilities: Any, shape: tuple[int, ...]) -> Any:
    """The same values as a plain array or tensor, not copied. Raises MethodError as `own_map`."""
    kind = type(probabilities)
    torch = sys.modules.get("torch")
    if issubclass(kind, np.ndarray):
        if issubclass(kind, np.ma.MaskedArray) and np.ma.getmaskarray(probabilities).any():
            raise MethodError("predict returned a masked array; every pixel must have a value")
        values = np.asarray(probabilities)
    elif torch is not None and issubclass(kind, torch.Tensor):
        values = probabilities.detach()
        if kind is not torch.Tensor:
            values = values.as_subclass(torch.Tensor)
        if type(values) is not torch.Tensor:
            raise MethodError(f"predict returned {kind.__name__}; must be a plain torch tensor")
        if values.is_nested or values.layout is not torch.strided:
            raise MethodError("predict returned a sparse or nested tensor; must be a dense one")
        if values.device.type == "meta":
            raise MethodError("predict returned a tensor on the meta device, which has no values")
    else:
        raise MethodError(
            f"predict returned {kind.__name__}; must be a NumPy array or a torch tensor"
        )
    if tuple(values.shape) != tuple(shape):
        raise MethodError(
            f"predict returned a map of shape {tuple(values.shape)}; must be the image's "
            f"(H, W) = {tuple(shape)}"
        )
    if str(values.dtype).removeprefix("torch.") != "float32":
        raise MethodError(f"predict returned dtype {values.dtype}; must be float32")
    return values


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
