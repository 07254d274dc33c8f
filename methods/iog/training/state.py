"""The state of a training: enough to resume it with the same results."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ....harness.errors import UserError
from ....harness.files import write_whole
from ...runtime.checkpoint_file import load_checkpoint

CHECKPOINT = "checkpoint.pt"


@dataclass
class Progress:
    """The progress of a training.

    step: steps made. sums: of the present epoch, per column of the record. history: a row for
    each finished epoch. best: the highest validation so far, None before the first. seconds:
    spent in all.
    """

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    seconds: float = 0.0


def save_state(
    directory: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.GradScaler,
    progress: Progress,
) -> None:
    """Write DIR/checkpoint.pt whole, or leave the one that is there."""
    content: dict[str, Any] = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scaler": scaler.state_dict(),
        "progress": vars(progress),
        "chance": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        content["chance_cuda"] = torch.cuda.get_rng_state()
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(directory / CHECKPOINT, buffer.getvalue())


def load_state(
    directory: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.GradScaler,
) -> Progress:
    """Put back what `save_state` wrote; a fresh start where there is nothing.

    Raises UserError when the file is damaged or of another training.
    """
    path = directory / CHECKPOINT
    if not path.exists():
        return Progress()
    content: Mapping[str, Any] = load_checkpoint(path)
    try:
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        scaler.load_state_dict(content["scaler"])
        torch.set_rng_state(content["chance"])
        if "chance_cuda" in content and torch.cuda.is_available():
            torch.cuda.set_rng_state(content["chance_cuda"])
        return Progress(**content["progress"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} does not fit this training: {error}") from error
