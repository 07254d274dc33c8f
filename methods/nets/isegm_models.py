"""The f-BRS and RITM models, built from what their checkpoints say."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from torch import Tensor, nn

from ...harness.errors import UserError, nearest
from ..runtime.checkpoint_file import fit, state_of
from .click_network import ClickEncoding, ClickNetwork, Place
from .deeplab import DeepLabV3Plus, LogitHead
from .ocr import HRNetOCR

Network = TypeVar("Network", bound=nn.Module)

DEEPLAB_CUTS: dict[Place, str] = {"A": "backbone", "B": "pyramid", "C": "decoder"}
HRNET_CUTS: dict[Place, str] = {"A": "trunk", "B": "trunk", "C": "context"}

_HRNET_MARK = "feature_extractor.stage2.0.branches"
_HRNET_WIDTH = "feature_extractor.stage2.0.branches.0.0.conv1.weight"
_OCR_WIDTH = "feature_extractor.ocr_distri_head.object_context_block.f_down.1.0.bias"
_DEEPLAB_CHANNELS = "feature_extractor.aspp.project.0.weight"

#: The most backbone entries (without batch counters) of each depth, as the released loader has it.
_DEPTH_BY_ENTRIES = ((181, 34), (276, 50), (531, 101))
#: The small HRNet has two blocks where the full one has four. The released loader counts entries
#: instead (full from 1800), which mistakes a full one saved without batch counters.
_THIRD_BLOCK = "feature_extractor.stage2.0.branches.0.2.conv1.weight"


def fbrs_network(
    state: Mapping[str, Any], what: str = "the checkpoint", norm_radius: float = 260
) -> ClickNetwork:
    """The network an f-BRS checkpoint belongs to, without its weights.

    state: the bare state dict, keys without `module.`. what: how errors call it. The rules are
    those of the released loader. Raises UserError when the keys fit none of the
    released architectures.
    """
    encoding = ClickEncoding(disks=False, radius=norm_radius)
    if any(_HRNET_MARK in key for key in state):
        trunk = HRNetOCR(*hrnet_shape(state, what))
        return ClickNetwork(trunk, nn.Identity(), HRNET_CUTS, encoding, fusion="early")
    entries = sum(
        "feature_extractor.backbone" in key and "num_batches_tracked" not in key for key in state
    )
    depth = next((depth for most, depth in _DEPTH_BY_ENTRIES if entries <= most), None)
    if entries == 0 or depth is None:
        raise UserError(
            f"{what} is no f-BRS checkpoint: {entries} entries feature_extractor.backbone.*, "
            "where ResNet-34, -50 and -101 have up to 181, 276 and 531, and no HRNet stages"
        )
    # Checkpoints that record a dropout rate are all of the 128-channel kind.
    channels = 128 if "aspp_dropout" in state else _outputs(state, _DEEPLAB_CHANNELS, what)
    return ClickNetwork(
        DeepLabV3Plus(depth, channels), LogitHead(channels), DEEPLAB_CUTS, encoding, fusion="early"
    )


def hrnet_shape(
    state: Mapping[str, Any], what: str, system: str = "f-BRS"
) -> tuple[int, int, bool]:
    """(width, OCR width, small) of the HRNet that a state dict is of. Raises UserError."""
    width, ocr_width = (_outputs(state, key, what, system) for key in (_HRNET_WIDTH, _OCR_WIDTH))
    return width, ocr_width, _THIRD_BLOCK not in state


def _outputs(state: Mapping[str, Any], key: str, what: str, system: str = "f-BRS") -> int:
    value = state.get(key)
    if not isinstance(value, Tensor) or value.ndim == 0:
        raise UserError(f"{what} is no {system} checkpoint: it has no tensor {key}")
    return int(value.shape[0])


#: The class a RITM checkpoint's `config` names -> our trunk. Nothing is ever imported by that name.
RITM_CLASSES = {
    "isegm.model.is_hrnet_model.HRNetModel": "hrnet",
    "isegm.model.is_deeplab_model.DeeplabModel": "deeplab",
}
#: Parameters that say how the model was trained, not what it computes.
_TRAINING_ONLY = {"backbone_lr_mult", "with_aux_output", "norm_layer", "cpu_dist_maps"}
_SHARED = {
    "use_leaky_relu": False,
    "use_rgb_conv": False,
    "use_disks": False,
    "norm_radius": 5,
    "with_prev_mask": False,
    "binary_prev_mask": False,
}
_BY_TRUNK = {
    "hrnet": {"width": 48, "ocr_width": 256, "small": False},
    "deeplab": {"backbone": "resnet50", "deeplab_ch": 256, "aspp_dropout": 0.5},
}
#: Parameters with the only value we build.
_FIXED = {
    "clicks_groups": None,
    "conv_extend": False,
    "norm_mean_std": ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    "backbone_norm_layer": None,
}


def config_values(
    config: Any, what: str = "the checkpoint", extra: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    """(trunk name, {parameter: value}) of a RITM checkpoint's `config`, defaults filled in.

    extra: defaults of further parameters, which a system built on RITM has. Raises UserError for a
    class or a specified parameter that is not supported.
    """
    if not isinstance(config, Mapping) or not isinstance(config.get("params"), Mapping):
        raise UserError(f"{what}: its 'config' must hold 'class' and 'params'")
    name = str(config.get("class"))
    if name not in RITM_CLASSES:
        raise UserError(f"{what} is of class {name!r}: {nearest(name, RITM_CLASSES)}")
    trunk = RITM_CLASSES[name]
    values: dict[str, Any] = {**_SHARED, **_BY_TRUNK[trunk], **(extra or {})}
    for key, entry in config["params"].items():
        value = entry.get("value") if isinstance(entry, Mapping) else entry
        specified = not isinstance(entry, Mapping) or entry.get("specified", True)
        if key in values:
            values[key] = value
        elif key in _FIXED:
            if _plain(value) != _plain(_FIXED[key]):
                raise UserError(f"{what} has {key}={value!r}, which is not supported")
        elif specified and key not in _TRAINING_ONLY:
            raise UserError(f"{what} has {key}={value!r}: {nearest(key, values)}")
    return trunk, values


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def ritm_network(config: Any, what: str = "the checkpoint") -> ClickNetwork:
    """The network a RITM checkpoint's `config` describes, without its weights.

    Raises UserError for a configuration that cannot be built.
    """
    kind, values = config_values(config, what)
    head: nn.Module = nn.Identity()
    trunk: nn.Module
    if kind == "hrnet":
        cuts = HRNET_CUTS
        trunk = HRNetOCR(values["width"], values["ocr_width"], bool(values["small"]))
    else:
        cuts = DEEPLAB_CUTS
        trunk = DeepLabV3Plus(resnet_depth(values["backbone"], what), values["deeplab_ch"])
        head = LogitHead(values["deeplab_ch"])
    return ClickNetwork(
        trunk,
        head,
        cuts,
        ClickEncoding(bool(values["use_disks"]), values["norm_radius"]),
        fusion="early" if values["use_rgb_conv"] else "side",
        leaky=bool(values["use_leaky_relu"]),
        norm_first=True,
        sees_previous=bool(values["with_prev_mask"]),
        binary_previous=bool(values["binary_prev_mask"]),
        normalises=True,
    )


def resnet_depth(backbone: Any, what: str) -> int:
    """101 for "resnet101". Raises UserError for a backbone that is not supported."""
    match = re.fullmatch(r"resnet(34|50|101|152)", str(backbone))
    if match is None:
        raise UserError(f"{what} has backbone={backbone!r}: must be resnet34, 50, 101, 152")
    return int(match[1])


def configured_network(
    checkpoint: dict[str, Any], what: str, system: str, build: Callable[[Any, str], Network]
) -> Network:
    """The network of a checkpoint with `config` and `state_dict`, weights in place.

    what: how errors call the checkpoint; system: what it should be of. build: makes the network
    that a `config` describes. Raises UserError when it cannot be built or does not fit.
    """
    if "config" not in checkpoint or "state_dict" not in checkpoint:
        raise UserError(
            f"{what} is no {system} checkpoint: it must hold 'config' and 'state_dict'. "
            "A bare state dict may be one of f-BRS"
        )
    network = build(checkpoint["config"], what)
    fill(network, state_of(checkpoint), what)
    return network


def fill(network: nn.Module, state: Mapping[str, Any], what: str) -> None:
    """Put a checkpoint's weights in place. Entries that are not the network's are ignored.

    The released loaders do not mind missing entries either; here they raise UserError, because a
    network that is random in part gives numbers that mean nothing. what: how errors call it.
    """
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    missing = any(
        key not in tensors for key in network.state_dict() if "num_batches_tracked" not in key
    )
    fit(network, tensors, what=what, strict=missing)
