"""Which device a method computes on."""

from typing import Literal

import numpy as np
import torch

from ...harness.errors import UserError

#: auto: a GPU where there is one.
Device = Literal["auto", "cpu", "cuda"]


def resolve_device(name: Device) -> torch.device:
    """The torch device of that name. Raises UserError for cuda where there is none.

    Convolutions on a GPU then keep all 24 bits of float32: torch's default (TF32) keeps 11, and
    clicks would differ from those on a CPU.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device=cuda: torch sees no GPU here; use device=cpu or device=auto")
    if name == "cuda":
        torch.backends.cudnn.allow_tf32 = False
    return torch.device(name)


def to_device(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device; on a CPU the two share memory.

    The copy to a GPU uses page-locked memory and is queued behind the thread's other work there,
    so that no other thread has to wait.
    """
    tensor = torch.from_numpy(array)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
