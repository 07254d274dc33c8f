"""DEXTR's network: a dilated ResNet-101 with a pyramid pooling classifier."""

import torch
from torch import nn

from .dilated_resnet import DilatedResNet
from .psp import PyramidPooling


class _Classifier(PyramidPooling):
    """Pyramid pooling followed by one linear read-out, `final`."""

    def __init__(self) -> None:
        super().__init__(2048, 512, 512)
        self.final = nn.Conv2d(512, 1, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.final(super().forward(features))


class DEXTRNet(DilatedResNet):
    """Image and extreme points to the logits of the object, at 1/8 of the size.

    Caffe-style bottlenecks, layer3 dilated by 2 and layer4 by 4, classifier `layer5`
    (Maninis et al., Deep Extreme Cut, CVPR 2018).
    """

    def __init__(self) -> None:
        super().__init__(
            101,
            in_channels=4,
            strides={3: 1, 4: 1},
            dilations={3: (2,), 4: (4,)},
            stride_on="1x1",
        )
        self.layer5 = _Classifier()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x: (N, 4, H, W) float32, R, G, B and heat map, each in 0..255. Returns (N, 1, h, w)."""
        return self.layer5(super().forward(x))
