"""Which samples make up each step: a function of the seed, so that a training can be resumed."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Sampler

from ....harness.errors import UserError

#: (epoch, index of the instance). A sample depends on it and the seed alone.
Key = tuple[int, int]


@dataclass(frozen=True)
class Batches(Sampler[list[Key]]):
    """The batches of a training from a step on; one process's share of each.

    instances: how many there are. batch: over all processes. Each epoch is a permutation of the
    instances drawn from (seed, epoch); an epoch leaves out instances that do not fill a batch.
    first: the step to begin with. rank, processes: every process takes an equal part of a batch.
    Raises UserError when there are fewer instances than a batch.
    """

    instances: int
    batch: int
    epochs: int
    seed: int
    first: int = 0
    rank: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.instances < self.batch:
            raise UserError(
                f"{self.instances} objects to train on are fewer than batch = {self.batch}"
            )

    @property
    def steps_an_epoch(self) -> int:
        return self.instances // self.batch

    @property
    def steps(self) -> int:
        """Of the whole training."""
        return self.epochs * self.steps_an_epoch

    def __iter__(self) -> Iterator[list[Key]]:
        begun, skipped = divmod(self.first, self.steps_an_epoch)
        share = self.batch // self.processes
        for epoch in range(begun, self.epochs):
            order = np.random.default_rng((self.seed, epoch)).permutation(self.instances)
            for step in range(skipped if epoch == begun else 0, self.steps_an_epoch):
                start = step * self.batch + self.rank * share
                yield [(epoch, int(index)) for index in order[start : start + share]]

    def __len__(self) -> int:
        return self.steps - self.first
