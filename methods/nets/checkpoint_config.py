"""The model parameters in the `config` of a checkpoint of the RITM family, if it has one."""

from collections.abc import Mapping
from typing import Any

from ...harness.errors import UserError, nearest

#: Parameters of the training that do not change what the model computes.
_TRAINING_ONLY = {
    "aspp_dropout",
    "backbone_lr_mult",
    "cpu_dist_maps",
    "feature_stride",
    "norm_layer",
    "random_split",
    "with_aux_output",
}
#: Parameters with the only supported value.
_FIXED: dict[str, Any] = {
    "use_rgb_conv": False,
    "use_disks": True,
    "binary_prev_mask": False,
    "clicks_groups": None,
    "conv_extend": False,
    "norm_mean_std": [[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]],
    "backbone_norm_layer": None,
}


def parameters(
    checkpoint: Mapping[str, Any], what: str, class_name: str, defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """{parameter: value} of a model: the defaults, replaced by those of the checkpoint's `config`.

    what: how errors call the checkpoint. class_name: which class its config must name; nothing is
    imported by that name. Raises UserError for another class, and for a parameter that is not
    supported or has a value that is not.
    """
    values = dict(defaults)
    config = checkpoint.get("config")
    if config is None:
        return values
    if not isinstance(config, Mapping) or not isinstance(config.get("params"), Mapping):
        raise UserError(f"{what}: its 'config' must hold 'class' and 'params'")
    if config.get("class") != class_name:
        raise UserError(f"{what} is of class {config.get('class')!r}, must be {class_name}")
    for key, entry in config["params"].items():
        value = entry.get("value") if isinstance(entry, Mapping) else entry
        specified = not isinstance(entry, Mapping) or entry.get("specified", True)
        if key in values:
            values[key] = value
        elif key in _FIXED:
            if _plain(value) != _FIXED[key]:
                raise UserError(f"{what} has {key}={value!r}, which is not supported")
        elif specified and key not in _TRAINING_ONLY:
            raise UserError(f"{what} has {key}={value!r}: {nearest(key, values)}")
    return values


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
