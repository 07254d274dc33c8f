"""The resources of a worker of a method."""

from dataclasses import dataclass

from ..errors import UserError


@dataclass(frozen=True)
class Resources:
    """The resources that one worker of a method occupies on its node, as Ray counts them.

    cpus: logical cores, also the number of threads of its numerical libraries. gpus: a share of one
    GPU such as 0.25, or whole GPUs; None: `gpus_per_worker` of the run. memory: bytes of main
    memory to reserve, None: not reserved. Raises UserError for values that no worker can have.
    """

    cpus: float = 1.0
    gpus: float | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        for name in ("cpus", "gpus", "memory"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UserError(f"resources: {name} = {value:g}: must not be negative")
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise UserError(
                f"resources: gpus = {self.gpus:g}: must be a share of one GPU or whole GPUs"
            )

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU"]
        parts += [f"{self.gpus:g} GPU"] if self.gpus else []
        parts += [f"{self.memory / 2**30:.3g} GiB"] if self.memory else []
        return ", ".join(parts)
