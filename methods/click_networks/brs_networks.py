"""The functions that BRS optimises: a network and one session's input, given the variables."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..nets.click_network import ClickNetwork, Place


@dataclass(frozen=True)
class Features:
    """The (copies, C, h, w) features at a place, and what the trunk passes around that place:
    another such tensor, or None."""

    values: Tensor
    carried: Tensor | None


@dataclass(frozen=True)
class ScaledFeatures:
    """f-BRS: features times scales plus biases. size: (H, W) of the logits."""

    network: ClickNetwork
    place: Place
    features: Features
    size: tuple[int, int]

    def __call__(self, scale: Tensor, bias: Tensor) -> Tensor:
        """(1, C, 1, 1) each -> (copies, 1, H, W) logits."""
        values = self.features.values
        # Repeated, not broadcast: gradients then add up in the released code's order.
        scale, bias = (v.repeat(len(values), 1, 1, 1) for v in (scale, bias))
        changed = values * scale + bias
        return self.network.after(changed, self.features.carried, self.place, self.size)


@dataclass(frozen=True)
class BiasedInput:
    """BRS: a bias on the picture, or else on the click maps. rgb, maps: as `ClickNetwork.inputs`
    returns them for the copies of one session."""

    network: ClickNetwork
    on_picture: bool
    rgb: Tensor
    maps: Tensor

    def __call__(self, bias: Tensor) -> Tensor:
        """(copies, 3 or 2, H, W) -> (copies, 1, H, W) logits."""
        others, clicks = self.maps[:, :-2], self.maps[:, -2:]
        picture, drawn = (self.rgb + bias, clicks) if self.on_picture else (self.rgb, clicks + bias)
        features, carried = self.network.before(picture, torch.cat([others, drawn], dim=1), "C")
        return self.network.after(features, carried, "C", picture.shape[2:])
