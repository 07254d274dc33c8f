"""Backpropagating refinement: change a few variables until the clicked pixels come out right.

Jang and Kim, CVPR 2019 (the network's input is changed); Sofiiuk et al., CVPR 2020, f-BRS
(scales and biases of intermediate features). Loss, early exits and L-BFGS settings are those of
f-BRS's released code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from .nets.click_maps import Point

#: (variables as the network takes them, penalty on them) from the flat float32 vector.
Unpack = Callable[[Tensor], tuple[tuple[Tensor, ...], Tensor]]


@dataclass(frozen=True)
class BrsSettings:
    """threshold: what is object. evaluations: of the objective per click at most. weight: of the
    penalty on the variables. bias_weight: of f-BRS's biases relative to its scales. settled: stop
    once the mask's IoU with that of the evaluation before is above."""

    threshold: float = 0.49
    evaluations: int = 20
    weight: float = 1e-3
    bias_weight: float = 10.0
    settled: float = 0.99


@dataclass
class Clicked:
    """Where clicks must hold: (B, 1, H, W) float32 maps of positive and of negative clicks."""

    positive: Tensor
    negative: Tensor

    def loss(self, probabilities: Tensor) -> tuple[Tensor, float, float]:
        """(mean squared error at positive plus at negative pixels, largest error at each)."""
        missed = (1 - probabilities) * self.positive
        spilled = probabilities * self.negative
        loss = (missed**2).sum() / (self.positive.sum() + 1e-5)
        loss = loss + (spilled**2).sum() / (self.negative.sum() + 1e-5)
        return loss, float(missed.detach().abs().max()), float(spilled.detach().abs().max())


def click_squares(
    batch: Sequence[Sequence[Point]], size: Sequence[int], device: torch.device | str = "cpu"
) -> Clicked:
    """Every click as a 3x3 square of ones about its rounded pixel.

    A square is written as an array slice, as in the released code, with what that means at the
    border: a start at -1 selects nothing, and a square wholly above or left of the input (a
    negative click outside the zoomed region) comes in again from the other side.
    """
    maps = np.zeros((2, len(batch), 1, *size), np.float32)
    for index, points in enumerate(batch):
        for y, x, positive in points:
            row, column = round(y), round(x)
            rows, columns = slice(row - 1, row + 2), slice(column - 1, column + 2)
            maps[0 if positive else 1, index, 0, rows, columns] = 1
    positive_map, negative_map = torch.from_numpy(maps).to(device)
    return Clicked(positive_map, negative_map)


def unpack_input(shape: Sequence[int], mirrored: bool, settings: BrsSettings) -> Unpack:
    """A bias for every value of a (B, C, H, W) input; the mirrored copies get it mirrored."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        bias = flat.view(*shape)
        if mirrored:
            bias = torch.cat([bias, bias.flip(3)], dim=0)
        return (bias,), settings.weight * (bias**2).sum()

    return unpack


def unpack_scale_bias(settings: BrsSettings) -> Unpack:
    """A scale (about 1) and a bias for every channel, (1, C, 1, 1) each."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        scale, bias = flat.chunk(2)
        penalty = (scale**2).sum() + settings.bias_weight * (bias**2).sum()
        return (1 + scale.view(1, -1, 1, 1), bias.view(1, -1, 1, 1)), settings.weight * penalty

    return unpack


@dataclass
class Objective:
    """What L-BFGS minimises: x -> (loss, gradient), remembering the best logits it has seen.

    predict: variables -> (B, 1, H, W) logits. The gradient is returned as zero, which ends the
    search, once every click is on its side of the threshold or the mask has stopped changing.
    """

    predict: Callable[..., Tensor]
    unpack: Unpack
    clicked: Clicked
    settings: BrsSettings
    device: torch.device
    best_loss: float = np.inf
    best_logits: Tensor | None = None
    _mask: Tensor | None = field(default=None, repr=False)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        flat = torch.from_numpy(x).float().to(self.device).requires_grad_(True)
        with torch.enable_grad():
            variables, penalty = self.unpack(flat)
            logits = self.predict(*variables)
            probabilities = logits.sigmoid()
            loss, missed, spilled = self.clicked.loss(probabilities)
            loss = loss + penalty
            value = float(loss.detach())
            if self.best_logits is None or value < self.best_loss:
                self.best_loss, self.best_logits = value, logits.detach()
            threshold = self.settings.threshold
            if missed < 1 - threshold and spilled < threshold:
                return value, np.zeros_like(x)
            if self._settled(probabilities.detach() > threshold):
                return value, np.zeros_like(x)
            (gradient,) = torch.autograd.grad(loss, flat)
        return value, gradient.cpu().numpy().astype(np.float64)

    def _settled(self, mask: Tensor) -> bool:
        """Whether the mask is almost that of the evaluation before; remembers it if not."""
        if self._mask is not None:
            union = (mask | self._mask).flatten(1).float().mean(dim=1)
            common = (mask & self._mask).flatten(1).float().mean(dim=1)
            ious = common[union > 0] / union[union > 0]
            if len(ious) and float(ious.mean()) > self.settings.settled:
                return True
        self._mask = mask
        return False


def refine(objective: Objective, start: np.ndarray) -> np.ndarray:
    """Run L-BFGS-B from `start`; returns where it ends, for the next click to start from.

    The prediction to use is `objective.best_logits`, of the lowest loss seen, which need not be
    that of the point returned.
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
