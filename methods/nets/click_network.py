"""A segmentation network with clicks as input: the networks of f-BRS, RITM and their kin."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn

from .click_maps import disk_maps, distance_maps
from .resize import resize

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

#: The three places f-BRS may change features: A deepest, C just before the last convolutions.
Place = Literal["A", "B", "C"]


class Trunk(Protocol):
    """A network that runs in two parts; see `DeepLabV3Plus` and `HRNetOCR`."""

    def before(self, x: Tensor, added: Tensor | None, cut: str) -> tuple[Tensor, Any]: ...
    def after(self, features: Tensor, carried: Any, cut: str) -> Tensor: ...
    def cut_channels(self, cut: str) -> int: ...


@dataclass(frozen=True)
class ClickEncoding:
    """How clicks become maps: disks of `radius` pixels, or distances saturating around it."""

    disks: bool
    radius: float

    def __call__(self, points: Tensor, size: Sequence[int]) -> Tensor:
        """(B, 2N, 2) points -> (B, 2, H, W), positive first."""
        draw = disk_maps if self.disks else distance_maps
        return draw(points, size, self.radius)


def normalise(image: Tensor) -> Tensor:
    """(B, 3, H, W) RGB in [0, 1] less ImageNet's mean, over its standard deviation."""
    return (image - _of_channels(MEAN, image.device)) / _of_channels(STD, image.device)


@cache
def _of_channels(values: tuple[float, ...], device: torch.device) -> Tensor:
    """(1, 3, 1, 1), sent to a device once: each transfer to a GPU would block."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, 3, 1, 1)


class Scale(nn.Module):
    """Times the absolute value of one learned number."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((1,), 0.05))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.abs()


def early_fusion(maps: int, leaky: bool, norm_first: bool) -> nn.Sequential:
    """Image and maps (3 + maps channels) mixed into a three-channel picture, pixel by pixel.

    norm_first: RITM normalises before the activation, f-BRS after it.
    """
    width = 6 + maps
    pair: list[nn.Module] = [_activation(leaky), nn.BatchNorm2d(width)]
    if norm_first:
        pair.reverse()
    return nn.Sequential(nn.Conv2d(3 + maps, width, 1), *pair, nn.Conv2d(width, 3, 1))


def side_branch(maps: int, leaky: bool) -> nn.Sequential:
    """Maps to 64 channels at half size, to be added after the trunk's first convolution."""
    return nn.Sequential(
        nn.Conv2d(maps, 16, 1),
        _activation(leaky),
        nn.Conv2d(16, 64, 3, stride=2, padding=1),
        Scale(),
    )


def _activation(leaky: bool) -> nn.Module:
    return nn.LeakyReLU(0.2) if leaky else nn.ReLU()


class ClickNetwork(nn.Module):
    """Image, clicks and (for some) the previous mask to logits.

    feature_extractor: the trunk. head: what turns its output into logits. cuts: where the
    trunk is cut for each Place. fusion: "early" mixes the maps into the image, "side" adds them
    inside the trunk. sees_previous: the image has a fourth channel, the previous probabilities,
    which becomes the first map unless previous_as_map is False. normalises: the image comes in
    [0, 1] and is normalised here.
    """

    rgb_conv: nn.Module | None
    maps_transform: nn.Module | None

    def __init__(
        self,
        feature_extractor: nn.Module,
        head: nn.Module,
        cuts: dict[Place, str],
        encoding: ClickEncoding,
        *,
        fusion: Literal["early", "side"],
        leaky: bool = True,
        norm_first: bool = False,
        sees_previous: bool = False,
        previous_as_map: bool = True,
        binary_previous: bool = False,
        normalises: bool = False,
    ) -> None:
        super().__init__()
        self.previous_as_map = sees_previous and previous_as_map
        maps = 3 if self.previous_as_map else 2
        self.rgb_conv = early_fusion(maps, leaky, norm_first) if fusion == "early" else None
        self.maps_transform = side_branch(maps, leaky) if fusion == "side" else None
        self.feature_extractor = feature_extractor
        self.head = head
        self.cuts = cuts
        self.encoding = encoding
        self.sees_previous = sees_previous
        self.binary_previous = binary_previous
        self.normalises = normalises

    @property
    def trunk(self) -> Trunk:
        """The feature extractor as something that can be cut in two."""
        return self.feature_extractor  # type: ignore[return-value]

    def channels(self, place: Place) -> int:
        """Channels of the features at a place."""
        return self.trunk.cut_channels(self.cuts[place])

    def inputs(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """What the layers see: the normalised picture and the maps; the last two are the clicks.

        image: (B, 3 or 4, H, W); points: (B, 2N, 2) rows and columns as `points_tensor` gives.
        """
        rgb, previous = image[:, :3], image[:, 3:]
        if self.normalises:
            rgb = normalise(rgb)
        maps = self.encoding(points, image.shape[2:])
        if self.previous_as_map:
            if self.binary_previous:
                previous = (previous > 0.5).float()
            maps = torch.cat([previous, maps], dim=1)
        return rgb, maps

    def before(self, rgb: Tensor, maps: Tensor, place: Place) -> tuple[Tensor, Any]:
        """The features at a place, and what the trunk carries around it."""
        added = None
        if self.rgb_conv is not None:
            rgb = self.rgb_conv(torch.cat([rgb, maps], dim=1))
        elif self.maps_transform is not None:
            added = self.maps_transform(maps)
        return self.trunk.before(rgb, added, self.cuts[place])

    def after(self, features: Tensor, carried: Any, place: Place, size: Sequence[int]) -> Tensor:
        """(B, 1, *size) logits from the features at a place."""
        return resize(self.head(self.trunk.after(features, carried, self.cuts[place])), size)

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """(B, 1, H, W) logits."""
        rgb, maps = self.inputs(image, points)
        return self.after(*self.before(rgb, maps, "C"), "C", image.shape[2:])
