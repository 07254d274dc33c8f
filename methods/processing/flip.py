"""Horizontal-flip averaging: an image and its mirror image are predicted together.

A batch of N sessions has one or two copies of each: all originals, then all mirrored ones.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..nets.click_maps import Point


def mirror_points(points: Sequence[Point], width: int) -> list[Point]:
    """Clicks where they are in the mirrored image; columns may be fractional."""
    return [(y, width - x - 1, positive) for y, x, positive in points]


def with_mirrored(x: Tensor) -> Tensor:
    """(B, C, H, W) -> (2B, C, H, W): the originals, then their mirror images."""
    return torch.cat([x, x.flip(3)], dim=0)


def average_mirrored(x: Tensor) -> Tensor:
    """(2B, C, H, W), originals then mirrored -> (B, C, H, W): the mean, mirrored ones turned back.

    f-BRS and its descendants average logits this way, not probabilities.
    """
    originals, mirrored = x.chunk(2, dim=0)
    return 0.5 * (originals + mirrored.flip(3))


def per_session(x: Tensor, sessions: int) -> tuple[Tensor, ...]:
    """(copies * N, ...) -> N times (copies, ...), without copying."""
    return x.unflatten(0, (-1, sessions)).unbind(1)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """N times (copies, ...) -> (copies * N, ...): undoes `per_session`."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat([part[k : k + 1] for k in range(len(parts[0])) for part in parts])


def picked(x: Tensor, sessions: int, chosen: Sequence[int]) -> Tensor:
    """(copies * N, ...) of N sessions -> (copies * n, ...) of the n chosen ones, in that order.

    The tensor itself where that is all of them as they are, otherwise a copy.
    """
    if list(chosen) == list(range(sessions)):
        return x
    parts = per_session(x, sessions)
    return torch.cat([parts[n][k : k + 1] for k in range(len(parts[0])) for n in chosen])
