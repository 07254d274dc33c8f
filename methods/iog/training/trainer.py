"""The trainer `iog`: all of IOG's networks, on one device or several."""

from pathlib import Path
from typing import Any

from ....harness.store.directory import exclusive
from ....harness.workflows.training import Material, Trainer, Watch
from .config import IOGTraining
from .loop import Process, train_here
from .record import admit
from .weights import export_best, weights_path


class IOGTrainer(Trainer):
    """Trains IOG's three-point, refinement and outside-only networks."""

    Config = IOGTraining

    def train(self, config: Any, material: Material, watch: Watch) -> Path:
        """Train; `docs/training.md` lists the files that OUT then holds."""
        with exclusive(config.out):
            admit(config, material)
            if config.devices > 1:
                from .distributed import train_on_several

                train_on_several(config, material, watch)
            else:
                train_here(config, material, watch, Process())
        return weights_path(config, "best")

    def export(self, config: Any, file: Path) -> None:
        """The best weights in 16 bits; see `weights.export_best`."""
        export_best(config, file)
