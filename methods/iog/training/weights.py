"""The weight files of a training, for `weights=` of IOG's methods."""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from ....harness.errors import UserError
from ...nets.iog import IOGNet
from ...nets.iog_refine import IOGRefineNet
from ..checkpoint import read_checkpoint, save_network
from .config import IOGTraining


def weights_path(config: IOGTraining, name: str) -> Path:
    """OUT/weights/NAME.pth."""
    return config.out / "weights" / f"{name}.pth"


def keep_weights(
    network: IOGNet | IOGRefineNet, config: IOGTraining, trained_on: Sequence[str], name: str
) -> Path:
    """Write OUT/weights/NAME.pth whole: the network, its configuration and its training data."""
    path = weights_path(config, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}{path.suffix}")
    try:
        save_network(
            network,
            temporary,
            half=config.half,
            trained_on=list(trained_on),
            guidance="outside" if config.network == "outside" else "inside-outside",
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def export_best(config: IOGTraining, file: Path) -> None:
    """Write OUT/weights/best.pth again as `file`, in 16 bits: with the facts stored in it.

    file: `.safetensors`, or any other name for torch's format. Raises UserError when there is no
    such training.
    """
    best = weights_path(config, "best")
    if not best.is_file():
        raise UserError(f"{best}: no such file: nothing was trained in {config.out}, or not enough")
    saved = read_checkpoint(best)
    refines = config.network == "iog-refine"
    network = saved.network(IOGRefineNet) if refines else saved.network(IOGNet)
    known = {"trained_on": list(saved.trained_on or ()), "guidance": saved.guidance}
    file.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, file, half=True, **known)
