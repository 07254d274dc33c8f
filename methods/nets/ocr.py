"""HRNet with object-contextual representations (Yuan et al., ECCV 2020) for one object class."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .hrnet import HRNet

#: Where `HRNetOCR` can be cut in two: before the OCR heads, before the last convolution.
CUTS = ("trunk", "context")


def _conv_norm_relu_twice(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 1, bias=False),
        _norm_relu(outputs),
        nn.Conv2d(outputs, outputs, 1, bias=False),
        _norm_relu(outputs),
    )


def _norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class ObjectContext(nn.Module):
    """The context that each pixel takes from the object's vector.

    OCR lets each pixel attend over the classes' vectors. With one class that attention is a
    softmax over one element, exactly 1, so each pixel gets the same context and the queries and
    keys (`f_pixel`, `f_object`) cannot matter: they are here only because checkpoints hold them.
    """

    def __init__(self, inputs: int, keys: int) -> None:
        super().__init__()
        self.f_pixel = _conv_norm_relu_twice(inputs, keys)
        self.f_object = _conv_norm_relu_twice(inputs, keys)
        self.f_down = nn.Sequential(nn.Conv2d(inputs, keys, 1, bias=False), _norm_relu(keys))
        self.f_up = nn.Sequential(nn.Conv2d(keys, inputs, 1, bias=False), _norm_relu(inputs))

    def forward(self, object_vector: Tensor, size: Sequence[int]) -> Tensor:
        """(B, inputs, 1, 1) -> (B, inputs, *size), the same everywhere."""
        # One vector for all pixels would do. Attention that is 1 everywhere, and a convolution
        # of every pixel, give the released values and gradients to the last bit.
        value = self.f_down(object_vector).flatten(2)
        attention = value.new_ones(len(value), size[0] * size[1], 1)
        context = (attention @ value.transpose(1, 2)).transpose(1, 2).contiguous()
        return self.f_up(context.view(*context.shape[:2], *size))


class ContextHead(nn.Module):
    """Pixel features joined with their object context."""

    def __init__(self, channels: int, keys: int) -> None:
        super().__init__()
        self.object_context_block = ObjectContext(channels, keys)
        # The name is the checkpoints'; dropout plays no part in evaluation.
        self.conv_bn_dropout = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1, bias=False), _norm_relu(channels)
        )

    def forward(self, pixels: Tensor, object_vector: Tensor) -> Tensor:
        context = self.object_context_block(object_vector, pixels.shape[2:])
        return self.conv_bn_dropout(torch.cat([context, pixels], dim=1))


def object_vector(pixels: Tensor, coarse: Tensor) -> Tensor:
    """Mean of the pixel features under the softmax over all pixels of the coarse logits.

    pixels: (B, C, h, w), coarse: (B, 1, h, w) -> (B, C, 1, 1).
    """
    # This order of the product, too, is that of the released numbers' last bits.
    weights = coarse.flatten(2).softmax(dim=2)
    mean = weights @ pixels.flatten(2).transpose(1, 2)
    return mean.transpose(1, 2).unsqueeze(3)


class HRNetOCR(HRNet):
    """(B, 3, H, W) -> (B, 1, H/4, W/4) logits.

    Like `DeepLabV3Plus` it runs in two parts around a cut, `before` and `after`.
    """

    def __init__(
        self, width: int, ocr_width: int, small: bool = False, relu_after_fuse: bool = True
    ) -> None:
        super().__init__(width, small, relu_after_fuse)
        channels = self.feature_channels
        self.ocr_channels = 2 * ocr_width
        self.conv3x3_ocr = nn.Sequential(
            nn.Conv2d(channels, self.ocr_channels, 3, padding=1),
            nn.BatchNorm2d(self.ocr_channels),
            nn.ReLU(inplace=True),
        )
        self.ocr_distri_head = ContextHead(self.ocr_channels, ocr_width)
        self.cls_head = nn.Conv2d(self.ocr_channels, 1, 1)
        self.aux_head = nn.Sequential(
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, 1, 1),
        )

    def cut_channels(self, cut: str) -> int:
        """Channels of the features at one of CUTS."""
        return {"trunk": self.feature_channels, "context": self.ocr_channels}[cut]

    def contextual(self, features: Tensor) -> Tensor:
        """Trunk features (B, 15 * width, h, w) -> (B, 2 * ocr_width, h, w)."""
        pixels = self.conv3x3_ocr(features)
        return self.ocr_distri_head(pixels, object_vector(pixels, self.aux_head(features)))

    def before(self, x: Tensor, added: Tensor | None, cut: str) -> tuple[Tensor, None]:
        """(features at the cut, None: nothing bypasses it)."""
        features = self.features(x, added)
        return (features if cut == "trunk" else self.contextual(features)), None

    def after(self, features: Tensor, carried: None, cut: str) -> Tensor:
        """Logits from the features at the cut."""
        return self.cls_head(self.contextual(features) if cut == "trunk" else features)

    def forward(self, x: Tensor, added: Tensor | None = None) -> Tensor:
        return self.after(*self.before(x, added, "context"), "context")
