"""The objective of a training: a network's forward passes on a batch, and their loss."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import nn
from torch.nn import functional

from ...nets.iog import IOGNet
from ...nets.iog_heads import enlarge
from ...nets.iog_refine import Encoded, IOGRefineNet
from .added_click import with_added_clicks
from .samples import Sample

#: The columns of a training's record that each step adds to.
COLUMNS = ("loss", "loss_1", "loss_2", "loss_3", "loss_4", "loss_fine", "train_iou")

#: At this mean IoU of the first pass or above, there is no second pass (released training).
GOOD_ENOUGH = 0.95


class Outcome(NamedTuple):
    """loss: a scalar with a gradient. parts: (5,) the outputs' own losses, of the last pass.
    iou: mean IoU of the last pass's fine output on the crops. fine: that output, detached."""

    loss: torch.Tensor
    parts: torch.Tensor
    iou: torch.Tensor
    fine: torch.Tensor

    def values(self) -> torch.Tensor:
        """(7,) float64 in the order of COLUMNS, detached."""
        return torch.cat([self.loss.detach()[None], self.parts, self.iou[None]]).double()


class Objective(nn.Module):
    """A network and its loss, in one module, so that processes exchange gradients once a step.

    The refinement network has two passes; the second has one more click, on the largest error of
    the first. Its loss is the mean of both passes' losses, or the first's alone if its mean IoU is
    GOOD_ENOUGH.
    """

    def __init__(self, network: IOGNet | IOGRefineNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, sample: Sample) -> Outcome:
        """The outcome on a batch."""
        if isinstance(self.network, IOGNet):
            return _outcome(self.network(sample.input), sample, IOGNet.kind)
        encoded = self.network.encode(sample.input)
        guidance = sample.input[:, 3:]
        first = self._pass(encoded, guidance, sample)
        if first.iou >= GOOD_ENOUGH:
            return first
        guidance = with_added_clicks(guidance, first.fine, sample.mask)
        second = self._pass(encoded, guidance, sample)
        return second._replace(loss=0.5 * first.loss + 0.5 * second.loss)

    def _pass(self, encoded: Encoded, guidance: torch.Tensor, sample: Sample) -> Outcome:
        network = cast(IOGRefineNet, self.network)
        size = sample.mask.shape[-2:]
        outputs = [enlarge(output, size) for output in network.decode(encoded, guidance)]
        return _outcome(outputs, sample, IOGRefineNet.kind)


def _outcome(outputs: Sequence[torch.Tensor], sample: Sample, kind: str) -> Outcome:
    """The loss of five outputs at the size of the crops."""
    loss, parts = total_loss(outputs, sample.mask, sample.void, WEIGHTS[kind])
    fine = outputs[-1].detach()
    return Outcome(loss, parts, mean_iou(fine > 0, sample.mask > 0.5), fine)


def mean_iou(predicted: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """The mean over a batch of intersection over union; 1 where both are empty.

    predicted, wanted: (N, ...) bool. Returns a float32 scalar.
    """
    both = (predicted & wanted).flatten(1).sum(1)
    either = (predicted | wanted).flatten(1).sum(1)
    return torch.where(either > 0, both / either.clamp(min=1), 1.0).mean()


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
