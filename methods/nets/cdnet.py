"""CDNet (Chen et al., ICCV 2021): labels spread from clicks to similar features and pixels."""

from collections.abc import Iterator, Mapping
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...harness.errors import UserError
from ..runtime.checkpoint_file import state_of
from .checkpoint_config import parameters
from .click_maps import disk_maps
from .click_network import ClickEncoding, ClickNetwork
from .deeplab import DeepLabV3Plus, LogitHead, SeparableConv
from .isegm_models import fill, resnet_depth
from .resize import resize

#: Radius in pixels of the disks that start the diffusion of features.
_WIDE_RADIUS = 24
#: The gate above which a feature counts as clicked, too.
_SURE = 0.8
#: Stride of the features that are diffused.
_STRIDE = 8


class GateHead(nn.Module):
    """(B, C, h, w) features -> (B, 1, h, w) logits of being object."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(SeparableConv(channels, channels), nn.Conv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class FeatureDiffusion(nn.Module):
    """Features of the clicked places spread to places with similar features, per click sign."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate_head_pos = GateHead(channels)
        self.t, self.p, self.g, self.z, self.z2 = (
            nn.Conv2d(channels, channels, 1, bias=False) for _ in range(5)
        )
        self.bn = nn.BatchNorm2d(channels)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, maps: Tensor) -> Tensor:
        """x: (B, C, h, w); maps: (B, 2, h, w) positive and negative clicks in [0, 1]."""
        gate = self.gate_head_pos(x).sigmoid()
        similarity = self.t(x).flatten(2).transpose(1, 2) @ self.p(x).flatten(2)
        values = self.g(x).flatten(2).transpose(1, 2)

        def spread(clicks: Tensor, gate: Tensor) -> Tensor:
            sources = (clicks + (gate > _SURE)).flatten(2)
            # A softmax over weighted similarities: a place that is no source keeps the logit 0.
            weights = (similarity * sources).softmax(dim=2) * gate.flatten(2).transpose(1, 2)
            return (weights @ values).transpose(1, 2).reshape(x.shape)

        positive = self.bn(self.z(spread(maps[:, :1], gate)))
        negative = self.bn2(self.z2(spread(maps[:, 1:], 1 - gate)))
        return positive + x + negative


class DiffusedDeepLab(DeepLabV3Plus):
    """DeepLabV3+ whose pyramid features are diffused from the clicks."""

    def __init__(self, depth: int, channels: int) -> None:
        super().__init__(depth, channels)
        self.FDM = FeatureDiffusion(channels)

    def diffused(self, x: Tensor, added: Tensor | None, maps: Tensor) -> Tensor:
        """(B, channels, H/4, W/4). maps: (B, 2, H/8, W/8) clicks; added: as in the backbone."""
        skip, c4 = self.stages(x, added)
        pooled = resize(self.FDM(self.aspp(c4), maps), skip.shape[2:])
        return self.head(torch.cat([pooled, skip], dim=1))


class CDNet(ClickNetwork):
    """Image and clicks to logits; `diffuse_pixels` then spreads them over similar pixels."""

    feature_extractor: DiffusedDeepLab

    def __init__(self, depth: int, channels: int, leaky: bool = True, radius: float = 5) -> None:
        super().__init__(
            DiffusedDeepLab(depth, channels),
            LogitHead(channels),
            {},
            ClickEncoding(disks=True, radius=radius),
            fusion="side",
            leaky=leaky,
            normalises=True,
        )

    def forward(self, image: Tensor, points: Tensor) -> Tensor:
        """(B, 1, H, W) logits. image: (B, 3, H, W) in [0, 1]; points as in `ClickNetwork`."""
        rgb, maps = self.inputs(image, points)
        size = image.shape[2:]
        wide = resize(disk_maps(points, size, _WIDE_RADIUS), [ceil(n / _STRIDE) for n in size])
        assert self.maps_transform is not None
        features = self.feature_extractor.diffused(rgb, self.maps_transform(maps), wide)
        return resize(self.head(features), size)


#: Distances in pixels of the eight neighbours that a pixel takes its label from.
_DILATIONS = (1, 2, 4, 8)
_STEPS = 5
#: Labels nearer to "unsure" than this, in [-1, 1], do not spread.
_DECIDED = 0.25
_CLICK_LABEL = 10.0


def diffuse_pixels(image: Tensor, logits: Tensor, clicks: Tensor) -> Tensor:
    """Spread labels to pixels of similar colour; (B, 1, H, W), to be read as logits again.

    image: (B, 3, H, W) in [0, 1], not normalised. logits: (B, 1, H, W). clicks: (B, 2, H, W) disks
    of the positive and negative clicks. Each pixel takes the mean of its 32 neighbours' labels,
    weighted by similarity, five times. Source: the paper's pixel diffusion, constants of the
    released code.
    """
    near = torch.stack(list(_neighbours(image)), dim=1)
    # The centre counts once for each dilation.
    sample = torch.cat([near, image[:, None].expand(-1, len(_DILATIONS), -1, -1, -1)], dim=1)
    spread = sample.std(dim=1, keepdim=True)
    affinity = -(image[:, None] - near).abs() / (1e-8 + 0.1 * spread)
    weights = affinity.mean(dim=2).softmax(dim=1)
    certain = 2 * (logits.sigmoid() - 0.5)
    labels = torch.where(certain.abs() > _DECIDED, certain, torch.zeros_like(certain))
    labels = labels + _CLICK_LABEL * (clicks[:, :1] - clicks[:, 1:])
    for _ in range(_STEPS):
        taken = torch.cat(list(_neighbours(labels)), dim=1)
        labels = (weights * taken).sum(dim=1, keepdim=True)
    return labels + certain


def _neighbours(x: Tensor) -> Iterator[Tensor]:
    """x shifted to each of 32 neighbours, edges repeated; each like x, (B, C, H, W)."""
    height, width = x.shape[2:]
    for d in _DILATIONS:
        padded = functional.pad(x, (d, d, d, d), mode="replicate")
        for row in (0, d, 2 * d):
            for column in (0, d, 2 * d):
                if (row, column) != (d, d):
                    yield padded[:, :, row : row + height, column : column + width]


_CLASS = "isegm.model.is_deeplab_model.DeeplabModel"
_DEFAULTS: dict[str, Any] = {
    "backbone": "resnet34",
    "deeplab_ch": 128,
    "use_leaky_relu": True,
    "norm_radius": 5,
    "with_prev_mask": False,
}


def cdnet_network(checkpoint: Mapping[str, Any], what: str) -> CDNet:
    """The network of a CDNet checkpoint, weights in place.

    checkpoint: a state dict, alone or under `model`, or under `state_dict` beside its `config`.
    what: how errors call it. Raises UserError when it is another system's or cannot be built.
    """
    state = state_of(checkpoint)
    if not any(key.startswith("feature_extractor.FDM.") for key in state):
        raise UserError(f"{what} is no CDNet checkpoint: it has no feature_extractor.FDM.*")
    values = parameters(checkpoint, what, _CLASS, _DEFAULTS)
    if values["with_prev_mask"]:
        raise UserError(f"{what} has with_prev_mask=True, which is not supported")
    network = CDNet(
        resnet_depth(values["backbone"], what),
        values["deeplab_ch"],
        bool(values["use_leaky_relu"]),
        values["norm_radius"],
    )
    fill(network, state, what)
    return network
