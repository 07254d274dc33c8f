"""The optimiser and its learning rates."""

import math
from typing import Any, Literal

import torch
from torch import nn

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["constant", "poly", "cosine"]


def make_optimizer(
    network: nn.Module,
    kind: Optimizer,
    lr: float,
    head_factor: float,
    momentum: float,
    weight_decay: float,
) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW; all other layers' rate is `head_factor` times the backbone's.

    momentum: SGD's, and AdamW's first beta.
    """
    backbone = [p for name, p in network.named_parameters() if name.startswith("backbone.")]
    heads = [p for name, p in network.named_parameters() if not name.startswith("backbone.")]
    groups: list[dict[str, Any]] = [
        {"params": backbone, "lr": lr, "base": lr},
        {"params": heads, "lr": lr * head_factor, "base": lr * head_factor},
    ]
    # One pass over the weights; on a CPU the plain loop takes several times as long.
    shared: dict[str, Any] = {"weight_decay": weight_decay, "fused": True}
    if kind == "adamw":
        return torch.optim.AdamW(groups, betas=(momentum, 0.999), **shared)
    return torch.optim.SGD(groups, momentum=momentum, **shared)


def factor(step: int, steps: int, schedule: Schedule, warmup: int) -> float:
    """The factor of the learning rates at a step, counted from 0, of `steps`.

    It rises linearly over the first `warmup` steps; then it stays 1, falls as (1 - t)^0.9 (poly)
    or as half a cosine, t being the share of the remaining steps that are done.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    done = (step - warmup) / max(steps - warmup, 1)
    if schedule == "poly":
        return (1 - done) ** 0.9
    if schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return 1.0


def set_rates(optimizer: torch.optim.Optimizer, scale: float) -> None:
    """Set every group's learning rate to `scale` times its own."""
    for group in optimizer.param_groups:
        group["lr"] = group["base"] * scale
