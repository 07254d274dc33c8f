"""The one way these networks and methods resample: bilinear, corners aligned."""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional


def resize(x: Tensor, size: Sequence[int]) -> Tensor:
    """(B, C, h, w) -> (B, C, *size), bilinear with align_corners=True; as it is if equal."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return functional.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
