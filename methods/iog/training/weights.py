"""The weights that a training leaves, ready for `weights=` of IOG's methods."""

import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from ..checkpoint import save_network
from ..network import IOGNet
from ..refinement import IOGRefineNet
from .config import IOGTraining


def weights_path(config: IOGTraining, name: str) -> Path:
    """OUT/weights/NAME.pth."""
    return config.out / "weights" / f"{name}.pth"


def keep_weights(
    network: IOGNet | IOGRefineNet, config: IOGTraining, trained_on: Sequence[str], name: str
) -> Path:
    """Write OUT/weights/NAME.pth whole: the network, what it is, and what it was trained on."""
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
