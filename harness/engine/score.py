"""What comes after a prediction: wait for it, score it, place the next click or end the trace."""

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ..errors import MethodError
from ..method import Probabilities
from ..metrics.scores import boundary_iou, iou
from ..simulators.distance.region import clicked_pixels
from ..simulators.largest_error import LargestError
from ..store.masks import encode_mask
from ..types import Click, Instance, Trace
from . import score_on_gpu
from .gpu import own_lane
from .predict import Coming
from .score_on_gpu import UNDECIDED, Assessment
from .session import Live, Pairing, Settings, prepared_here, spoiled, trace_of

#: Called after every prediction with the instance, the clicks so far, the mask and its IoU.
Observer = Callable[[Instance, Sequence[Click], np.ndarray, float], None]


def assess(
    pairing: Pairing,
    settings: Settings,
    coming: Sequence[tuple[Live, Coming]],
    observe: Observer | None,
) -> list[Live | Trace]:
    """Wait for predictions and score them; each session with its next click, or its trace."""
    outcomes: list[Live | Trace] = []
    arrived: list[tuple[Live, Probabilities]] = []
    with own_lane():
        for live, one in coming:
            try:
                probabilities, seconds = one.arrive()
            except Exception as error:
                outcomes.append(spoiled(pairing, live, "method-failed", error))
                continue
            live.seconds += seconds
            arrived.append((live, probabilities))
        told = _told(pairing, settings, arrived, observe)
        for (live, probabilities), one in zip(arrived, told, strict=True):
            outcomes.append(_judged(pairing, settings, live, probabilities, one, observe))
    return outcomes


def together(pairing: Pairing, settings: Settings, observe: Observer | None) -> bool:
    """Whether predictions of a batch are to be assessed in one go, on the device: not where
    somebody wants their masks."""
    masks_are_wanted = observe or settings.boundary_iou or settings.save_masks
    known = type(pairing.simulator) is LargestError
    return settings.assess_on_device and known and not masks_are_wanted


def _told(
    pairing: Pairing,
    settings: Settings,
    arrived: Sequence[tuple[Live, Probabilities]],
    observe: Observer | None,
) -> Sequence[Assessment | None]:
    """What the device says of the maps; None for each where their masks are needed."""
    nothing: list[Assessment | None] = [None] * len(arrived)
    if not together(pairing, settings, observe) or not arrived:
        return nothing
    maps = [values for _, values in arrived]
    shapes = {live.session.shape for live, _ in arrived}
    if len(shapes) > 1 or not all(on_gpu(values, *shapes) for values in maps):
        return nothing
    import torch

    clicked = [clicked_pixels(live.session.clicks) for live, _ in arrived]
    try:
        for live, values in arrived:
            if live.truth is None:
                live.truth = torch.tensor(live.instance.mask, device=values.device)
        truths = torch.stack([live.truth for live, _ in arrived])
        stacked = torch.stack(maps).detach()
        return score_on_gpu.assess(stacked, truths, pairing.method.threshold, clicked)
    except torch.OutOfMemoryError:
        # The maps are there all the same, and their masks need much less.
        return nothing


def _judged(
    pairing: Pairing,
    settings: Settings,
    live: Live,
    probabilities: Probabilities,
    told: Assessment | None,
    observe: Observer | None,
) -> Live | Trace:
    """Score a prediction and place the next click, or finish the trace."""
    session, instance, method = live.session, live.instance, pairing.method
    started = perf_counter()
    if told is not None and not told.in_range:
        told = None
    try:
        if told is None:
            mask = checked_mask(probabilities, session.shape, method.threshold)
            score = iou(mask, instance.mask)
        else:
            mask, score = None, told.iou
    except MethodError as error:
        return spoiled(pairing, live, "method-failed", error)
    if settings.time_limit is not None and live.seconds > settings.time_limit:
        late = MethodError(
            f"predict took {live.seconds:.3g} s; the limit is {settings.time_limit:g} s a click"
        )
        return spoiled(pairing, live, "timed-out", late)
    boundary = None
    if mask is not None and settings.boundary_iou:
        boundary = boundary_iou(mask, instance.mask)
    if mask is not None and observe:
        observe(instance, session.clicks, mask, score)
    budget_left = len(session.clicks) < settings.clicks
    satisfied = settings.stop_at is not None and score >= settings.stop_at
    click = None
    problem: Exception | None = None
    if budget_left and not satisfied and method.corrections:
        try:
            click = _next_click(pairing, live, probabilities, mask, told)
        except Exception as error:
            problem = error
    live.record(score, boundary, perf_counter() - started)
    if problem:
        return spoiled(pairing, live, "simulator-failed", problem)
    if click is None:
        kept = encode_mask(mask) if mask is not None and settings.save_masks else None
        return trace_of(pairing, instance, live.steps, mask=kept)
    session.previous = probabilities
    session.clicks = (*session.clicks, click)
    return prepared_here(pairing, live, settings.batch_size > 1)


def _next_click(
    pairing: Pairing,
    live: Live,
    probabilities: Probabilities,
    mask: np.ndarray | None,
    told: Assessment | None,
) -> Click | None:
    """mask: None where the device has told all, unless equals must be told apart."""
    session, simulator = live.session, pairing.simulator
    if told is not None and isinstance(simulator, LargestError):
        click = told.click(simulator.distance)
        if click is not UNDECIDED:
            return click
    if mask is None:
        mask = checked_mask(probabilities, session.shape, pairing.method.threshold)
    return simulator.correct(live.instance, probabilities, mask, session.clicks, live.rng)


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
