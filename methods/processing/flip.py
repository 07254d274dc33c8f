"""Horizontal-flip averaging: an image and its mirror image are predicted in one batch.

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
