"""Checkpoints of IOG's networks: the released ones, this package's own, and ImageNet's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
import torchvision
from safetensors.torch import save_file

from ...harness.downloads.weights import resolve
from ...harness.errors import UserError
from ...harness.method import Checkpoint
from ..nets.iog import IOGNet
from ..nets.iog_refine import IOGRefineNet
from ..runtime.checkpoint_file import fit, load_checkpoint, state_of

#: The released networks' depth.
RELEASED_DEPTH = 101

#: The key under which a `.safetensors` file's metadata hold the configuration, as JSON.
METADATA_KEY = "isegbench.config"

Network = TypeVar("Network", IOGNet, IOGRefineNet)


@dataclass(frozen=True)
class Saved:
    """The content of a checkpoint file: the tensors, and the facts stored beside them.

    config: of the network; empty for a released file, which is a bare state dict of a network
    with 512-pixel sides. trained_on: its training's data sets, None if they are not stored.
    guidance: "outside" for a network without an inside point.
    """

    path: Path
    state: Mapping[str, torch.Tensor]
    config: Mapping[str, Any]
    trained_on: tuple[str, ...] | None
    guidance: str

    def network(self, network: type[Network], depth: int | None = None) -> Network:
        """The network, on the CPU; parameters and errors as for `load_network`."""
        config = self.config
        if config.get("kind", network.kind) != network.kind:
            raise UserError(f"{self.path} is a checkpoint of {config['kind']}, not {network.kind}")
        own = config.get("depth", depth or RELEASED_DEPTH)
        if depth is not None and depth != own:
            raise UserError(f"{self.path} has backbone=resnet{own}, not resnet{depth}")
        made = network(own, **{key: config[key] for key in ("side", "heads") if key in config})
        try:
            fit(made, self.state, what=str(self.path))
        except UserError as error:
            raise UserError(f"{error}{_hint(self.state, network)}") from None
        return made


def read_checkpoint(path: Path | str) -> Saved:
    """Read a released file, or one written by `save_network`. Raises UserError."""
    path = Path(path)
    checkpoint = load_checkpoint(path)
    about = checkpoint
    config = checkpoint.get("config", {})
    if path.suffix == ".safetensors":
        text = _metadata(path).get(METADATA_KEY)
        about = config = json.loads(text) if text else {}
    for key in ("depth", "side", "heads"):
        if not isinstance(config.get(key, 0), int):
            raise UserError(f"{path}: {key} must be a whole number, not {config[key]!r}")
    trained_on = about.get("trained_on")
    return Saved(
        path,
        state_of(checkpoint),
        config,
        None if trained_on is None else tuple(trained_on),
        about.get("guidance", "inside-outside"),
    )


def read_weights(weights: str, system: str) -> tuple[Checkpoint, Saved]:
    """The file that `weights=` of a method names, and its content.

    system: the method whose checkpoints the name may be. The file's training data are those that
    its content states if no others are recorded. Raises UserError.
    """
    file = resolve(weights, system)
    saved = read_checkpoint(file.path)
    if file.trained_on is None:
        file = replace(file, trained_on=saved.trained_on)
    return file, saved


def load_network(path: Path | str, network: type[Network], depth: int | None = None) -> Network:
    """The network of a checkpoint file, on the CPU.

    depth: of the backbone; None takes the file's own, or 101 for a released file, which does not
    store it. Entries `num_batches_tracked` may be missing, all others must correspond. Raises
    UserError with the difference.
    """
    return read_checkpoint(path).network(network, depth)


def save_network(
    network: IOGNet | IOGRefineNet, path: Path | str, *, half: bool = False, **more: Any
) -> None:
    """Write a network and its configuration, as `.safetensors` or in torch's format.

    half: floating-point weights in 16 bits. more: plain values to store beside the configuration;
    `read_checkpoint` reads `trained_on` and `guidance`, see `Saved`.
    """
    path = Path(path)
    state = {
        key: value.detach().cpu().half() if half and value.is_floating_point() else value.cpu()
        for key, value in network.state_dict().items()
    }
    if path.suffix != ".safetensors":
        torch.save({"state_dict": state, "config": network.config, **more}, path)
        return
    contiguous = {key: value.contiguous() for key, value in state.items()}
    save_file(contiguous, path, {METADATA_KEY: json.dumps({**network.config, **more})})


def initialise_from_imagenet(
    network: IOGNet | IOGRefineNet, state: Mapping[str, torch.Tensor] | None = None
) -> None:
    """Give the backbone a classifier's weights; the two guidance channels of conv1 start at zero.

    state: of torchvision's ResNet of the same depth; None downloads torchvision's own, trained
    on ImageNet (IMAGENET1K_V1). Raises UserError when the download or the fit fails.
    """
    given = dict(_imagenet(network.depth) if state is None else state)
    mapped = {key: value for key, value in given.items() if not key.startswith("fc.")}
    colours = mapped["conv1.weight"]
    wanted = network.backbone.conv1.weight
    widened = torch.zeros_like(wanted, device=colours.device)
    widened[:, : colours.shape[1]] = colours
    mapped["conv1.weight"] = widened
    fit(network.backbone, mapped, what="the ImageNet weights")


def _imagenet(depth: int) -> Mapping[str, torch.Tensor]:
    name = f"resnet{depth}"
    try:
        weights = torchvision.models.get_model_weights(name)["IMAGENET1K_V1"]  # type: ignore[index]
        return weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"torchvision's ImageNet weights of {name} cannot be downloaded: {error}"
        ) from error


def _metadata(path: Path) -> Mapping[str, str]:
    """The text fields in the header of a `.safetensors` file that could be loaded."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length)).get("__metadata__", {})


def _hint(state: Mapping[str, torch.Tensor], network: type[IOGNet] | type[IOGRefineNet]) -> str:
    refines = any(key.startswith("iog_points.") for key in state)
    if refines and network.kind == IOGNet.kind:
        return "\n  It is a refinement network: use iog-refine"
    if network.kind == IOGRefineNet.kind and not refines and "psp4.stages.0.1.weight" in state:
        return "\n  It is a three-point network: use iog"
    return ""
