"""Which device a method computes on."""

from typing import Literal

import torch

from ..harness.errors import UserError

#: auto: a GPU where there is one.
Device = Literal["auto", "cpu", "cuda"]


def resolve_device(name: Device) -> torch.device:
    """The torch device of that name. Raises UserError for cuda where there is none."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch sees no GPU here; use device=cpu or device=auto")
    return torch.device(name)
