"""Backpropagating refinement: change a few variables until the clicked pixels come out right.

Jang and Kim, CVPR 2019 (the network's input is changed); Sofiiuk et al., CVPR 2020, f-BRS
(scales and biases of intermediate features). Loss, early exits and L-BFGS settings are those of
f-BRS's released code. A search refines the prediction of one session.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from ..nets.click_maps import Point
from ..runtime.device import to_device

#: (n,) float32 variables -> (them as the network takes them, a scalar penalty on them).
Unpack = Callable[[Tensor], tuple[tuple[Tensor, ...], Tensor]]


@dataclass(frozen=True)
class BrsSettings:
    """threshold: what is object. evaluations: of the objective per click at most. weight: of the
    penalty on the variables. bias_weight: of f-BRS's biases relative to its scales. settled: stop
    once the mask's IoU with that of the previous evaluation is above this."""

    threshold: float = 0.49
    evaluations: int = 20
    weight: float = 1e-3
    bias_weight: float = 10.0
    settled: float = 0.99


@dataclass(frozen=True)
class Clicked:
    """The pixels of positive and of negative clicks: (copies, 1, H, W) float32 maps of ones and
    zeros. The second copy, if any, is the mirrored one."""

    positive: Tensor
    negative: Tensor

    def loss(self, probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Three scalars: the mean squared error at positive plus that at negative pixels, the
        largest error at positive pixels, and the largest at negative pixels, over all copies."""
        too_low = (1 - probabilities) * self.positive
        too_high = probabilities * self.negative
        loss = (too_low**2).sum() / (self.positive.sum() + 1e-5)
        loss = loss + (too_high**2).sum() / (self.negative.sum() + 1e-5)
        return loss, too_low.detach().abs().amax(), too_high.detach().abs().amax()


def click_squares(
    copies: Sequence[Sequence[Point]], size: Sequence[int], device: torch.device | str = "cpu"
) -> Clicked:
    """Every click as a 3x3 square of ones about its rounded pixel.

    copies: the clicks of the input, and of its mirror image if there is one.

    A square is written as an array slice, as in the released code, with what that means at the
    border: a start at -1 selects nothing, and a square wholly above or left of the input (a
    negative click outside the zoomed region) comes in again from the other side.
    """
    maps = np.zeros((2, len(copies), 1, *size), np.float32)
    for index, points in enumerate(copies):
        for y, x, positive in points:
            row, column = round(y), round(x)
            rows, columns = slice(row - 1, row + 2), slice(column - 1, column + 2)
            maps[0 if positive else 1, index, 0, rows, columns] = 1
    positive_map, negative_map = to_device(maps, torch.device(device))
    return Clicked(positive_map, negative_map)


def unpack_input(shape: Sequence[int], mirrored: bool, settings: BrsSettings) -> Unpack:
    """A bias for every value of the (C, H, W) input; a mirrored copy gets it mirrored."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        bias = flat.view(1, *shape)
        if mirrored:
            bias = torch.cat([bias, bias.flip(3)], dim=0)
        return (bias,), settings.weight * (bias**2).sum()

    return unpack


def unpack_scale_bias(settings: BrsSettings) -> Unpack:
    """A scale (about 1) and a bias for every channel, (1, C, 1, 1) each."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        scale, bias = flat.chunk(2)
        penalty = (scale**2).sum() + settings.bias_weight * (bias**2).sum()
        variables = 1 + scale.view(1, -1, 1, 1), bias.view(1, -1, 1, 1)
        return variables, settings.weight * penalty

    return unpack


@dataclass
class Objective:
    """What L-BFGS minimises. It keeps the logits of the lowest loss.

    network: unpacked variables -> (copies, 1, H, W) logits.

    The gradient is returned as zero, which ends the search, once every click is on its side of the
    threshold or the mask has stopped changing.
    """

    network: Callable[..., Tensor]
    unpack: Unpack
    clicked: Clicked
    settings: BrsSettings
    device: torch.device
    _best_loss: float = field(init=False, repr=False, default=np.inf)
    _best_logits: Tensor | None = field(init=False, repr=False, default=None)
    _mask: Tensor | None = field(init=False, repr=False, default=None)

    @property
    def best_logits(self) -> Tensor:
        """The (copies, 1, H, W) logits of the lowest loss. Raises ValueError before any call."""
        if self._best_logits is None:
            raise ValueError("the objective has not been evaluated yet")
        return self._best_logits

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """(n,) float64 variables -> (loss, (n,) float64 gradient)."""
        flat = to_device(x.astype(np.float32), self.device).requires_grad_(True)
        with torch.enable_grad():
            variables, penalty = self.unpack(flat)
            logits = self.network(*variables)
            probabilities = logits.sigmoid()
            loss, positive_error, negative_error = self.clicked.loss(probabilities)
            loss = loss + penalty
        figures = torch.stack([loss.detach(), positive_error, negative_error])
        value, *errors = figures.tolist()
        if self._best_logits is None or value < self._best_loss:
            self._best_loss, self._best_logits = value, logits.detach()
        if self._ends(errors, probabilities.detach() > self.settings.threshold):
            return value, np.zeros_like(x)
        (gradient,) = torch.autograd.grad(loss, flat)
        return value, gradient.cpu().numpy().astype(np.float64)

    def _ends(self, errors: Sequence[float], mask: Tensor) -> bool:
        """Whether the search is to end; otherwise keeps the mask for the next evaluation.

        errors: the largest at positive and at negative clicks. mask: (copies, 1, H, W) bool.
        """
        threshold = self.settings.threshold
        if errors[0] < 1 - threshold and errors[1] < threshold:
            return True
        if self._mask is not None and _mean_iou(self._mask, mask) > self.settings.settled:
            return True
        self._mask = mask
        return False


def _mean_iou(one: Tensor, other: Tensor) -> float:
    """The mean IoU of (copies, 1, H, W) bool masks over the copies; 0 if all are empty."""
    common = (one & other).flatten(1).float().mean(dim=1)
    union = (one | other).flatten(1).float().mean(dim=1)
    ious = common[union > 0] / union[union > 0]
    return float(ious.mean()) if len(ious) else 0.0


def refine(objective: Objective, start: np.ndarray) -> np.ndarray:
    """Run L-BFGS-B from a start; returns its end, from which the next click's search starts.

    The prediction to use is `objective.best_logits`, that of the lowest loss, which need not be
    that of the end.
    """
    evaluations = objective.settings.evaluations
    end, _, _ = fmin_l_bfgs_b(
        objective,
        start.astype(np.float64),
        m=20,
        factr=0,
        pgtol=1e-8,
        maxfun=evaluations,
        maxiter=2 * evaluations,
    )
    return end
