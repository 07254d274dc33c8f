"""Clicks as images: distance maps and disks, for any number of clicks, fractional ones included."""

from collections.abc import Sequence

import torch
from torch import Tensor

#: Squared distance given to a missing click: far enough for tanh to be exactly 1.
_FAR = 1e6

Point = tuple[float, float, bool]


def points_tensor(batch: Sequence[Sequence[Point]], limit: int | None = None) -> Tensor:
    """Clicks (row, column, is_positive) of each batch element as one (B, 2N, 2) float64 tensor.

    The first N rows are positive clicks, the last N negative ones, missing ones (-1, -1). limit:
    only the first so many clicks of each element count.
    """
    kept = [points[:limit] for points in batch]
    split = [
        [[(y, x) for y, x, sign in points if sign is wanted] for wanted in (True, False)]
        for points in kept
    ]
    width = max([1, *(len(side) for pair in split for side in pair)])
    missing = [(-1.0, -1.0)]
    padded = [
        [point for side in pair for point in side + missing * (width - len(side))] for pair in split
    ]
    return torch.tensor(padded, dtype=torch.float64)


def squared_distances(points: Tensor, size: Sequence[int], unit: float = 1.0) -> Tensor:
    """Squared distance to the nearest positive and negative click, (B, 2, H, W) float32.

    points: (B, 2N, 2) as `points_tensor` gives them; a point with no coordinate >= 0 is missing.
    Distances are measured in `unit` pixels.
    """
    batch, doubled, _ = points.shape
    height, width = size
    rows = torch.arange(height, device=points.device)
    columns = torch.arange(width, device=points.device)
    # Fractional clicks lose their last bits only after the subtraction, as in the released code.
    down = ((rows - points[..., 0:1]).float() / unit) ** 2
    across = ((columns - points[..., 1:2]).float() / unit) ** 2
    missing = (points.amax(dim=2) < 0).view(batch, doubled, 1, 1)
    # One click at a time: all of them at once would take N times the memory.
    nearest = None
    for k in range(doubled // 2):
        # A slice: a list of indices would be copied to the GPU, which blocks.
        pair = slice(k, None, doubled // 2)
        squared = down[:, pair, :, None] + across[:, pair, None, :]
        squared = squared.masked_fill(missing[:, pair], _FAR)
        nearest = squared if nearest is None else torch.minimum(nearest, squared)
    if nearest is None:
        raise ValueError("points must hold at least one (possibly missing) click of each kind")
    return nearest


def distance_maps(points: Tensor, size: Sequence[int], radius: float = 260) -> Tensor:
    """tanh(2 d / radius), d the distance to the nearest click: 0 at a click, 1 far away.

    (B, 2, H, W), positive first; a map without clicks is 1. Source: f-BRS's released code.
    """
    return squared_distances(points, size, radius).sqrt_().mul_(2).tanh_()


def disk_maps(points: Tensor, size: Sequence[int], radius: float = 5) -> Tensor:
    """1 within `radius` pixels of a click, edge included, else 0; (B, 2, H, W), positive first.

    Source: Sofiiuk et al., "Reviving iterative training with mask guidance", 2021.
    """
    return (squared_distances(points, size) <= radius**2).float()
