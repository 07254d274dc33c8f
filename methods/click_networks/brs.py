"""Backpropagating refinement: change a few variables until the clicked pixels come out right.

Jang and Kim, CVPR 2019 (the network's input is changed); Sofiiuk et al., CVPR 2020, f-BRS
(scales and biases of intermediate features). Loss, early exits and L-BFGS settings are those of
f-BRS's released code, which refines one prediction at a time. Here the predictions of N sessions
are refined side by side, each by an L-BFGS of its own that never hears of the others; what they
all want evaluated next is evaluated in one pass.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from scipy.optimize import fmin_l_bfgs_b
from torch import Tensor

from ..nets.click_maps import Point
from ..processing.flip import joined, per_session, picked
from ..runtime.device import to_device
from .lockstep import in_lockstep

#: (N, n) float32 variables -> (them as the network takes them, (N,) penalties on them).
Unpack = Callable[[Tensor], tuple[tuple[Tensor, ...], Tensor]]


class Changeable(Protocol):
    """A network with what it is given for N sessions, up to the variables."""

    def __call__(self, *variables: Any, **_: Any) -> Tensor:
        """Unpacked variables -> (copies * N, 1, H, W) logits."""
        ...

    def take(self, chosen: Sequence[int]) -> "Changeable":
        """The same for some of the sessions, in that order."""
        ...


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


@dataclass(frozen=True)
class Clicked:
    """Where clicks must hold, for N sessions with one or two copies (mirrored ones last) each:
    (copies * N, 1, H, W) float32 maps of positive and of negative clicks."""

    positive: Tensor
    negative: Tensor
    sessions: int = 1

    def loss(self, probabilities: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Each (N,): mean squared error at positive plus at negative pixels; the largest error at
        positive pixels; at negative pixels. All copies of a session count together."""
        missed = self._of_each((1 - probabilities) * self.positive)
        spilled = self._of_each(probabilities * self.negative)
        wanted, unwanted = self._of_each(self.positive), self._of_each(self.negative)
        loss = (missed**2).sum(dim=(0, 2)) / (wanted.sum(dim=(0, 2)) + 1e-5)
        loss = loss + (spilled**2).sum(dim=(0, 2)) / (unwanted.sum(dim=(0, 2)) + 1e-5)
        missed, spilled = missed.detach().abs(), spilled.detach().abs()
        return loss, missed.amax(dim=(0, 2)), spilled.amax(dim=(0, 2))

    def take(self, chosen: Sequence[int]) -> "Clicked":
        """The same for some of the sessions, in that order."""
        positive = picked(self.positive, self.sessions, chosen)
        return Clicked(positive, picked(self.negative, self.sessions, chosen), len(chosen))

    def _of_each(self, x: Tensor) -> Tensor:
        """(copies * N, 1, H, W) -> (copies, N, H * W)."""
        return x.reshape(-1, self.sessions, x[0].numel())


def click_squares(
    batch: Sequence[Sequence[Point]],
    size: Sequence[int],
    device: torch.device | str = "cpu",
    sessions: int = 1,
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
    positive_map, negative_map = to_device(maps, torch.device(device))
    return Clicked(positive_map, negative_map, sessions)


def unpack_input(shape: Sequence[int], mirrored: bool, settings: BrsSettings) -> Unpack:
    """A bias for every value of a session's (C, H, W) input; mirrored copies get it mirrored."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        bias = flat.view(-1, *shape)
        if mirrored:
            bias = torch.cat([bias, bias.flip(3)], dim=0)
        squares = (bias**2).view(-1, *flat.shape)
        return (bias,), settings.weight * squares.sum(dim=(0, 2))

    return unpack


def unpack_scale_bias(settings: BrsSettings) -> Unpack:
    """A scale (about 1) and a bias for every channel, (N, C, 1, 1) each."""

    def unpack(flat: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        scale, bias = flat.chunk(2, dim=1)
        penalty = (scale**2).sum(dim=1) + settings.bias_weight * (bias**2).sum(dim=1)
        variables = 1 + scale[:, :, None, None], bias[:, :, None, None]
        return variables, settings.weight * penalty

    return unpack


@dataclass
class _Seen:
    """What a session's evaluations have shown. mask: (copies, 1, H, W) bool, the last one that
    was still changing."""

    best_loss: float = np.inf
    best_logits: Tensor | None = None
    mask: Tensor | None = None


@dataclass
class Objective:
    """What the L-BFGS of each of N sessions minimises, remembering the best logits of each.

    The gradient is returned as zero, which ends the search, once every click is on its side of the
    threshold or the mask has stopped changing.
    """

    network: Changeable
    unpack: Unpack
    clicked: Clicked
    settings: BrsSettings
    device: torch.device
    _seen: list[_Seen] = field(init=False, repr=False)
    _taken: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._seen = [_Seen() for _ in range(self.clicked.sessions)]
        self._taken = list(range(self.clicked.sessions))

    @property
    def best_logits(self) -> list[Tensor]:
        """Of each session, the (copies, 1, H, W) logits of the lowest loss seen.

        Raises ValueError for a session that was never evaluated.
        """
        found = [seen.best_logits for seen in self._seen if seen.best_logits is not None]
        if len(found) < len(self._seen):
            raise ValueError("every session must be evaluated before its best logits are known")
        return found

    def __call__(self, points: Mapping[int, np.ndarray]) -> dict[int, tuple[float, np.ndarray]]:
        """x -> (loss, gradient) of some sessions, by index, in one pass of the network.

        A session left out once is out for good: its part of the network's inputs is let go.
        """
        self._narrow(list(points))
        x = np.stack(list(points.values()))
        flat = to_device(x.astype(np.float32), self.device).requires_grad_(True)
        with torch.enable_grad():
            variables, penalty = self.unpack(flat)
            logits = self.network(*variables)
            probabilities = logits.sigmoid()
            loss, missed, spilled = self.clicked.loss(probabilities)
            loss = loss + penalty
        losses, ended = self._judge(loss, missed, spilled, logits, probabilities)
        gradients = np.zeros_like(x)
        if not all(ended):
            # Nothing mixes sessions, so each gets the gradient of its own loss.
            (gradient,) = torch.autograd.grad(loss, flat, torch.ones_like(loss))
            gradients = gradient.cpu().numpy().astype(np.float64)
            gradients[ended] = 0
        return {k: (losses[n], gradients[n]) for n, k in enumerate(points)}

    def _narrow(self, wanted: list[int]) -> None:
        chosen = [self._taken.index(k) for k in wanted]
        self.network, self.clicked = self.network.take(chosen), self.clicked.take(chosen)
        self._taken = wanted

    def _judge(
        self, loss: Tensor, missed: Tensor, spilled: Tensor, logits: Tensor, probabilities: Tensor
    ) -> tuple[list[float], list[bool]]:
        """Remember what is best; the losses, and whether each session's search is to end."""
        count, threshold = len(self._taken), self.settings.threshold
        masks = probabilities.detach() > threshold
        mask_of_each = per_session(masks, count)
        seen = [self._seen[k] for k in self._taken]
        pairs = zip(seen, mask_of_each, strict=True)
        before = joined([mask if s.mask is None else s.mask for s, mask in pairs])
        common = (masks & before).flatten(1).float().mean(dim=1)
        union = (masks | before).flatten(1).float().mean(dim=1)
        # One wait for the device, instead of one for each number.
        figures = torch.cat([loss.detach(), missed, spilled, common, union]).cpu().numpy()
        losses, misses, spills = figures[: 3 * count].reshape(3, count).tolist()
        commons, unions = figures[3 * count :].reshape(2, -1, count)
        logits_of_each = per_session(logits.detach(), count)
        ended = []
        for n, session in enumerate(seen):
            if session.best_logits is None or losses[n] < session.best_loss:
                # A copy, because a part would keep the whole batch in memory.
                session.best_loss, session.best_logits = losses[n], logits_of_each[n].clone()
            right = misses[n] < 1 - threshold and spills[n] < threshold
            stays = session.mask is not None and self._settled(commons[:, n], unions[:, n])
            if not right and not stays:
                session.mask = mask_of_each[n]
            ended.append(right or stays)
        return losses, ended

    def _settled(self, common: np.ndarray, union: np.ndarray) -> bool:
        """Whether a mask is almost the one before, by the mean IoU over its copies."""
        ious = common[union > 0] / union[union > 0]
        return len(ious) > 0 and float(ious.mean()) > self.settings.settled


def refine(objective: Objective, starts: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run L-BFGS-B for each session from its start; where each ends, for its next click to start
    from.

    The predictions to use are `objective.best_logits`, of the lowest losses seen, which need not
    be those of the points returned.
    """
    evaluations = objective.settings.evaluations

    def search(start: np.ndarray, evaluate: Callable[[np.ndarray], tuple[float, np.ndarray]]):
        end, _, _ = fmin_l_bfgs_b(
            evaluate,
            start.astype(np.float64),
            m=20,
            factr=0,
            pgtol=1e-8,
            maxfun=evaluations,
            maxiter=2 * evaluations,
        )
        return end

    return in_lockstep([partial(search, start) for start in starts], objective)
