"""The losses of IOG's networks: binary cross-entropy, summed over pixels."""

from collections.abc import Sequence

import torch
from torch.nn import functional

#: Four coarse outputs and the fine one; the refinement network's fourth counts twice.
WEIGHTS = {"iog": (1.0, 1.0, 1.0, 1.0, 1.0), "iog-refine": (1.0, 1.0, 1.0, 2.0, 1.0)}


def summed_cross_entropy(
    logits: torch.Tensor, mask: torch.Tensor, void: torch.Tensor
) -> torch.Tensor:
    """Cross-entropy of one output, summed over all pixels and divided by the batch size.

    logits, mask, void: (N, 1, h, w). A pixel is object where mask >= 0.5 and is left out where
    void > 0.5. No class is weighted. Computed in float32.
    """
    with torch.autocast(logits.device.type, enabled=False):
        label = (mask >= 0.5).float()
        each = functional.binary_cross_entropy_with_logits(logits.float(), label, reduction="none")
        return each.masked_fill(void > 0.5, 0).sum() / len(logits)


def total_loss(
    outputs: Sequence[torch.Tensor],
    mask: torch.Tensor,
    void: torch.Tensor,
    weights: Sequence[float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """The weighted sum of the outputs' losses, a scalar; and each of them, detached.

    outputs: logits at the size of mask and void, (N, 1, h, w).
    """
    parts = torch.stack([summed_cross_entropy(output, mask, void) for output in outputs])
    return (parts * parts.new_tensor(list(weights))).sum(), parts.detach()
