"""What BRS changes: a network with what it is given for a batch of sessions."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..nets.click_network import ClickNetwork, Place
from ..processing.flip import joined, picked


@dataclass(frozen=True)
class Features:
    """The (copies * N, C, h, w) features of N sessions at a place, and what is carried around it:
    another such tensor, or None. size: (H, W) of the network's input they are from."""

    values: Tensor
    carried: Tensor | None
    sessions: int
    size: tuple[int, int]

    def take(self, chosen: Sequence[int]) -> "Features":
        """The features of some of the sessions, in that order."""
        carried = self.carried
        if carried is not None:
            carried = picked(carried, self.sessions, chosen)
        return Features(picked(self.values, self.sessions, chosen), carried, len(chosen), self.size)

    @staticmethod
    def join(each: "Sequence[Features]") -> "Features":
        """Features of one session each as one batch."""
        carried = [one.carried for one in each if one.carried is not None]
        values = joined([one.values for one in each])
        return Features(values, joined(carried) if carried else None, len(each), each[0].size)


@dataclass(frozen=True)
class ScaledFeatures:
    """f-BRS: features times scales plus biases. size: (H, W) of the logits."""

    network: ClickNetwork
    place: Place
    features: Features
    size: tuple[int, int]

    def __call__(self, scale: Tensor, bias: Tensor) -> Tensor:
        """(N, C, 1, 1) each -> (copies * N, 1, H, W) logits."""
        values, carried = self.features.values, self.features.carried
        # Repeated, not broadcast: gradients then add up in the released code's order.
        copies = len(values) // self.features.sessions
        scale, bias = (v.repeat(copies, 1, 1, 1) for v in (scale, bias))
        return self.network.after(values * scale + bias, carried, self.place, self.size)

    def take(self, chosen: Sequence[int]) -> "ScaledFeatures":
        return ScaledFeatures(self.network, self.place, self.features.take(chosen), self.size)


@dataclass(frozen=True)
class BiasedInput:
    """BRS: a bias on the picture, or else on the click maps. rgb, maps: as `ClickNetwork.inputs`
    gives them for the copies of N sessions."""

    network: ClickNetwork
    on_picture: bool
    rgb: Tensor
    maps: Tensor
    sessions: int

    def __call__(self, bias: Tensor) -> Tensor:
        """(copies * N, 3 or 2, H, W) -> (copies * N, 1, H, W) logits."""
        others, clicks = self.maps[:, :-2], self.maps[:, -2:]
        picture, drawn = (self.rgb + bias, clicks) if self.on_picture else (self.rgb, clicks + bias)
        features, carried = self.network.before(picture, torch.cat([others, drawn], dim=1), "C")
        return self.network.after(features, carried, "C", picture.shape[2:])

    def take(self, chosen: Sequence[int]) -> "BiasedInput":
        rgb, maps = (picked(x, self.sessions, chosen) for x in (self.rgb, self.maps))
        return BiasedInput(self.network, self.on_picture, rgb, maps, len(chosen))
