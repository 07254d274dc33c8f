"""FocalClick (Chen et al., CVPR 2022): a coarse network, and a refiner of a part of its answer."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torchvision.ops import roi_align

from ...harness.errors import UserError
from ..runtime.checkpoint_file import state_of
from .checkpoint_config import parameters
from .click_maps import disk_maps
from .click_network import ClickEncoding, ClickNetwork, normalise
from .isegm_models import HRNET_CUTS, fill, hrnet_shape
from .ocr import HRNetOCR
from .resize import resize
from .segformer import SegFormer, segformer_version

#: Of the disks in the refiner's input; the coarse network's may have another radius.
_RADIUS = 5
_WIDTH = 32


class ConvNormRelu(nn.Module):
    """A convolution with bias, batch norm and ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv(x)))


class SeparableConvNormRelu(nn.Module):
    """Depthwise 3x3 and pointwise convolutions with bias, batch norm and ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv3x3 = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.conv1x1 = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.norm(self.conv1x1(self.conv3x3(x))))


class Refiner(nn.Module):
    """Refines the logits inside a box, from the image there and the coarse network's features."""

    def __init__(self, feature_channels: int) -> None:
        super().__init__()
        self.image_conv1 = ConvNormRelu(6, _WIDTH, 3, stride=2)
        self.image_conv2 = SeparableConvNormRelu(_WIDTH)
        self.image_conv3 = SeparableConvNormRelu(_WIDTH)
        self.refine_fusion = ConvNormRelu(feature_channels, _WIDTH, 1)
        self.refine_fusion2 = SeparableConvNormRelu(_WIDTH)
        self.refine_fusion3 = SeparableConvNormRelu(_WIDTH)
        self.refine_pred = nn.Conv2d(_WIDTH, 1, 3, padding=1)
        self.refine_trimap = nn.Conv2d(_WIDTH, 1, 3, padding=1)

    def forward(
        self, image: Tensor, points: Tensor, features: Tensor, coarse: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) logits and the logits of where they replace the coarse ones.

        image: (B, 3, H, W) in [0, 1], not normalised; points in its pixels. features: (B, C, h, w)
        and coarse: (B, 1, H, W) logits, both of the same box.
        """
        size = image.shape[2:]
        seen = torch.cat([image, disk_maps(points, size, _RADIUS), coarse.sigmoid()], dim=1)
        details = self.image_conv3(self.image_conv2(self.image_conv1(seen)))
        context = resize(self.refine_fusion(features), details.shape[2:])
        joined = self.refine_fusion3(self.refine_fusion2(details + context))
        return resize(self.refine_pred(joined), size), resize(self.refine_trimap(joined), size)


def refined(
    refiner: Refiner,
    image: Tensor,
    points: Tensor,
    features: Tensor,
    coarse: Tensor,
    boxes: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 1, H, W) refined logits of each box, its coarse ones, and the logits of the trimap.

    image: (B, 3, H, W) in [0, 1], each box's part resized; points in its pixels. features, coarse:
    the coarse network's, of all it saw. boxes: (B, 4) x1, y1, x2, y2 in the pixels of `coarse`.
    """
    indices = torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
    rois = torch.cat([indices[:, None], boxes], dim=1)
    scale = features.shape[3] / coarse.shape[3]
    inside = roi_align(features, rois, tuple(features.shape[2:]), scale, aligned=True)
    logits = roi_align(coarse, rois, tuple(image.shape[2:]), 1.0, aligned=True)
    finer, trimap = refiner(image, points, inside, logits)
    share = trimap.sigmoid()
    return finer * share + logits * (1 - share), logits, trimap


class FocalNetwork(Protocol):
    """What FocalClick's predictor needs of a network.

    released_threshold: above which its authors' evaluation takes a probability for object.
    """

    sees_previous: bool
    refiner: Refiner
    released_threshold: float

    def coarse(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, H, W) logits and (B, C, h, w) features. image: (B, 4, H, W); points as usual."""
        ...


class FocalHRNet(ClickNetwork):
    """HRNet + OCR with a refiner. halved: the coarse network works at half the size (S1)."""

    released_threshold = 0.49

    def __init__(
        self,
        width: int,
        ocr_width: int,
        small: bool,
        encoding: ClickEncoding,
        leaky: bool = True,
        halved: bool = False,
    ) -> None:
        trunk = HRNetOCR(width, ocr_width, small)
        super().__init__(
            trunk,
            nn.Identity(),
            HRNET_CUTS,
            encoding,
            fusion="side",
            leaky=leaky,
            sees_previous=True,
            normalises=True,
        )
        self.halved = halved
        self.refiner = Refiner(trunk.ocr_channels)

    def coarse(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        rgb, maps = self.inputs(image, points)
        if self.halved:
            rgb, maps = _half(rgb), _half(maps)
        features, carried = self.before(rgb, maps, "C")
        return self.after(features, carried, "C", image.shape[2:]), features


class FocalSegFormer(nn.Module):
    """SegFormer with a refiner. halved: the coarse network works at half the size (S1)."""

    sees_previous = True
    released_threshold = 0.5

    def __init__(self, version: str, encoding: ClickEncoding, halved: bool = False) -> None:
        super().__init__()
        self.feature_extractor = SegFormer(version)
        self.encoding = encoding
        self.halved = halved
        self.refiner = Refiner(self.feature_extractor.channels)

    def coarse(self, image: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        rgb = normalise(image[:, :3])
        maps = torch.cat([image[:, 3:], self.encoding(points, image.shape[2:])], dim=1)
        if self.halved:
            rgb, maps = _half(rgb), _half(maps)
        logits, features = self.feature_extractor(rgb, maps)
        return resize(logits, image.shape[2:]), features


def _half(x: Tensor) -> Tensor:
    return resize(x, [n // 2 for n in x.shape[2:]])


_HRNET_CLASS = "isegm.model.is_hrnet_model.HRNetModel"
_SEGFORMER_CLASS = "isegm.model.is_segformer_model.SegFormerModel"
_SHARED: dict[str, Any] = {
    "pipeline_version": "s2",
    "use_leaky_relu": True,
    "norm_radius": 5,
    "with_prev_mask": True,
}


def focalclick_network(checkpoint: Mapping[str, Any], what: str) -> FocalHRNet | FocalSegFormer:
    """The network of a FocalClick checkpoint, weights in place.

    checkpoint: a state dict, alone or under `model`, or under `state_dict` beside its `config`.
    Without a config it is taken for the S2 variant, with disks of 5 pixels. what: how errors call
    it. Raises UserError when it is another system's or cannot be built.
    """
    state = state_of(checkpoint)
    if not any(key.startswith("refiner.") for key in state):
        raise UserError(f"{what} is no FocalClick checkpoint: it has no refiner.*")
    network: FocalHRNet | FocalSegFormer
    if any(key.startswith("feature_extractor.backbone.patch_embed1.") for key in state):
        defaults = {**_SHARED, "model_version": segformer_version(state, what)}
        values = parameters(checkpoint, what, _SEGFORMER_CLASS, defaults)
        network = FocalSegFormer(
            str(values["model_version"]), _encoding(values, what), _halved(values, what)
        )
    else:
        width, ocr_width, small = hrnet_shape(state, what, "FocalClick")
        defaults = {**_SHARED, "width": width, "ocr_width": ocr_width, "small": small}
        values = parameters(checkpoint, what, _HRNET_CLASS, defaults)
        network = FocalHRNet(
            values["width"],
            values["ocr_width"],
            bool(values["small"]),
            _encoding(values, what),
            bool(values["use_leaky_relu"]),
            _halved(values, what),
        )
    fill(network, state, what)
    return network


def _encoding(values: Mapping[str, Any], what: str) -> ClickEncoding:
    if not values["with_prev_mask"]:
        raise UserError(f"{what} has with_prev_mask=False, which is not supported")
    return ClickEncoding(disks=True, radius=values["norm_radius"])


def _halved(values: Mapping[str, Any], what: str) -> bool:
    version = values["pipeline_version"]
    if version not in ("s1", "s2"):
        raise UserError(f"{what} has pipeline_version={version!r}: must be s1 or s2")
    return version == "s1"
