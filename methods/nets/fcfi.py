"""FCFI's networks: DeepLabV3+ and HRNet + OCR whose features and previous mask correct each other.

They are those of f-BRS and RITM but for `fcfi_feedback` and details noted where they differ.
"""

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from ...harness.errors import UserError
from .click_network import ClickEncoding, ClickNetwork
from .deeplab import DeepLabV3Plus, LogitHead
from .fcfi_feedback import CollaborativeFusion, Feedback, FocusedCorrection
from .isegm_models import DEEPLAB_CUTS, HRNET_CUTS, config_values, resnet_depth
from .ocr import HRNetOCR
from .resize import resize


class FeedbackDeepLab(DeepLabV3Plus):
    """Feedback enters between the pyramid and the decoder."""

    def __init__(self, depth: int, channels: int, mid: int, expansion: float) -> None:
        super().__init__(depth, channels)
        # Aside: the image, two click maps, and the mask itself.
        self.correction_module = FocusedCorrection(channels + 3 + 2 + 1, mid, expansion)
        self.feedback_fusion = CollaborativeFusion(channels, mid)

    def attend(
        self, x: Tensor, added: Tensor, aside: Tensor, feedback: Feedback
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(decoder features, corrected mask, fused mask); arguments as the modules' own."""
        c4, skip = self.before(x, added, "backbone")
        features = self.pooled(c4, skip)
        corrected = self.correction_module(features, aside, feedback)
        features, fused = self.feedback_fusion(features, corrected, feedback.gate)
        joined = torch.cat([features, skip], dim=1)
        return self.after(joined, skip, "pyramid"), corrected, fused


class FeedbackHRNet(HRNetOCR):
    """Feedback enters before the OCR heads; no ReLU follows the exchange between resolutions."""

    def __init__(self, width: int, ocr_width: int, small: bool, mid: int, expansion: float) -> None:
        super().__init__(width, ocr_width, small, relu_after_fuse=False)
        # Aside: the image, the mask and two click maps, and the mask itself once more.
        self.correction_module = FocusedCorrection(
            self.feature_channels + 3 + 3 + 1, mid, expansion
        )
        self.fusion_module = CollaborativeFusion(self.feature_channels, mid)

    def attend(
        self, x: Tensor, added: Tensor, aside: Tensor, feedback: Feedback
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(logits, corrected mask, fused mask); arguments as the modules' own."""
        features = self.features(x, added)
        corrected = self.correction_module(features, aside, feedback)
        features, fused = self.fusion_module(features, corrected, feedback.gate)
        return self.after(features, None, "trunk"), corrected, fused


class FCFINetwork(ClickNetwork):
    """Image, previous mask, clicks and which click is newest to logits."""

    def attend(
        self, image: Tensor, points: Tensor, newest: Tensor, gate: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(logits at (H, W), corrected mask, fused mask), the masks (B, 1, H/4, W/4).

        image: (B, 4, H, W) RGB in [0, 1] and the previous probabilities; points: as
        `points_tensor` gives; newest and gate: as in `Feedback`.
        """
        rgb, maps = self.inputs(image, points)
        feedback = Feedback(image[:, 3:], newest, gate)
        added = cast(nn.Module, self.maps_transform)(maps)
        aside = torch.cat([rgb, maps], dim=1)
        trunk = cast(FeedbackDeepLab | FeedbackHRNet, self.feature_extractor)
        out, corrected, fused = trunk.attend(rgb, added, aside, feedback)
        return resize(self.head(out), image.shape[2:]), corrected, fused

    def forward(self, image: Tensor, points: Tensor, newest: Tensor, gate: Tensor) -> Tensor:
        """(B, 1, H, W) logits; arguments as in `attend`."""
        return self.attend(image, points, newest, gate)[0]


#: FCFI's parameters beside RITM's; None where a checkpoint must say.
_EXTRA = {"mid_ch": None, "update_num": 1, "expansion_ratio": None}
#: The only values there are facts about, and that we build.
_REQUIRED = {
    "update_num": 1,
    "use_rgb_conv": False,
    "with_prev_mask": True,
    "binary_prev_mask": False,
}


def fcfi_network(config: Any, what: str = "the checkpoint") -> FCFINetwork:
    """The network an FCFI checkpoint's `config` describes, without its weights.

    Raises UserError for a configuration that cannot be built.
    """
    kind, values = config_values(config, what, _EXTRA)
    _check(values, what)
    try:
        return _build(kind, values, what)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{what} has a config that cannot be built: {error}") from error


def _build(kind: str, values: Mapping[str, Any], what: str) -> FCFINetwork:
    mid, expansion = int(values["mid_ch"]), float(values["expansion_ratio"])
    head: nn.Module = nn.Identity()
    trunk: nn.Module
    if kind == "hrnet":
        width, ocr_width, small = (values[key] for key in ("width", "ocr_width", "small"))
        trunk = FeedbackHRNet(width, ocr_width, bool(small), mid, expansion)
    else:
        depth, channels = resnet_depth(values["backbone"], what), values["deeplab_ch"]
        trunk, head = FeedbackDeepLab(depth, channels, mid, expansion), LogitHead(channels)
    return FCFINetwork(
        trunk,
        head,
        HRNET_CUTS if kind == "hrnet" else DEEPLAB_CUTS,
        ClickEncoding(bool(values["use_disks"]), values["norm_radius"]),
        fusion="side",
        leaky=bool(values["use_leaky_relu"]),
        sees_previous=True,
        previous_as_map=kind == "hrnet",
        normalises=True,
    )


def _check(values: Mapping[str, Any], what: str) -> None:
    missing = [key for key in _EXTRA if values[key] is None]
    if missing:
        raise UserError(
            f"{what} is no FCFI checkpoint: its config lacks {', '.join(missing)}. "
            "Without them it may be one of RITM"
        )
    for key, value in _REQUIRED.items():
        if values[key] != value:
            raise UserError(f"{what} has {key}={values[key]!r}; only {value!r} is supported")
