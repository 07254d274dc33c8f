"""The training loop of one process, alone or among several."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from ....harness.errors import UserError
from ....harness.workflows.training import Material, Watch
from ...nets.iog import IOGNet
from ...nets.iog_refine import IOGRefineNet
from ...runtime.device import resolve_device
from ..checkpoint import initialise_from_imagenet, load_network
from .batches import Batches
from .config import IOGTraining
from .objective import COLUMNS, Objective, Outcome
from .record import write_history
from .samples import Sample, Samples, prepare_process
from .schedule import factor, make_optimizer, set_rates
from .state import load_state, save_state
from .validation import validate
from .weights import keep_weights

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Process:
    """One of the processes that train one network.

    spread: makes a module exchange gradients. mean: of a tensor over the processes.
    """

    rank: int = 0
    processes: int = 1
    spread: Callable[[nn.Module], nn.Module] = lambda module: module
    mean: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor

    @property
    def leads(self) -> bool:
        """Whether this process writes, validates and reports."""
        return self.rank == 0


def train_here(config: IOGTraining, material: Material, watch: Watch, process: Process) -> None:
    """Train in this process, from DIR/checkpoint.pt on if it exists; see `Trainer.train`."""
    _Training(config, material, watch, process).run()


def make_network(config: IOGTraining) -> IOGNet | IOGRefineNet:
    """The network of a configuration, with its first weights, on the CPU."""
    kind: Any = IOGRefineNet if config.network == "iog-refine" else IOGNet
    if config.init not in ("imagenet", "scratch"):
        network = load_network(config.init, kind, config.depth)
        if (network.side, network.heads) != (config.side, config.heads):
            raise UserError(
                f"init = {config.init!r} has side = {network.side} and heads = {network.heads}: "
                "write the same ones"
            )
    else:
        torch.manual_seed(config.seed)
        network = kind(config.depth, side=config.side, heads=config.heads)
        if config.init == "imagenet":
            initialise_from_imagenet(network)
    # The released keys hold one step of the pyramid that no output depends on.
    network.Coarse_net.upsamples[0].requires_grad_(False)
    return network


class _Training:
    """A training under way."""

    def __init__(
        self, config: IOGTraining, material: Material, watch: Watch, process: Process
    ) -> None:
        self.config, self.material, self.watch, self.process = config, material, watch, process
        self.device = resolve_device(config.device)
        if config.precision == "float16" and self.device.type != "cuda":
            raise UserError('precision = "float16" needs a GPU; on a CPU use bfloat16')
        if config.threads:
            torch.set_num_threads(config.threads)
        self.network = make_network(config).to(self.device)
        self.optimizer = make_optimizer(
            self.network,
            config.optimizer,
            config.lr,
            config.head_factor,
            config.momentum,
            config.weight_decay,
        )
        self.scaler = torch.GradScaler(self.device.type, enabled=config.precision == "float16")
        self.progress = load_state(config.out, self.network, self.optimizer, self.scaler)
        self.objective = process.spread(Objective(self.network))
        self.batches = Batches(
            len(material.refs),
            config.batch,
            config.epochs,
            config.seed,
            self.progress.step,
            process.rank,
            process.processes,
        )
        self.saved = time.monotonic()

    def run(self) -> None:
        """All remaining steps."""
        self.watch.start(self.batches.steps, self.progress.step)
        begun = time.monotonic()
        samples = iter(self._loader())
        while self.progress.step < self.batches.steps:
            loss = self._step(next(samples))
            self.watch.step(loss)
            now = time.monotonic()
            self.progress.seconds += now - begun
            begun = now
            if self.progress.step % self.batches.steps_an_epoch == 0:
                self._end_epoch()
                begun = time.monotonic()
            elif now - self.saved >= self.config.save_seconds:
                self._save()

    def _loader(self) -> Iterator[Sample]:
        samples = Samples(
            self.material.refs,
            self.config.side,
            self.config.augmentation,
            self.config.seed,
            inside=self.config.network != "outside",
            cache=self.config.cache,
        )
        return iter(
            DataLoader(
                samples,
                batch_sampler=self.batches,
                num_workers=self.config.loaders,
                worker_init_fn=prepare_process,
                pin_memory=self.device.type == "cuda",
                prefetch_factor=4 if self.config.loaders else None,
            )
        )

    def _step(self, sample: Sample) -> float:
        config, step = self.config, self.progress.step
        sample = Sample(*(tensor.to(self.device, non_blocking=True) for tensor in sample))
        scale = factor(step, self.batches.steps, config.schedule, config.warmup)
        set_rates(self.optimizer, scale)
        self.network.train()
        dtype = _DTYPES[config.precision]
        with torch.autocast(self.device.type, dtype, enabled=config.precision != "float32"):
            outcome: Outcome = self.objective(sample)
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(outcome.loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.progress.step += 1
        values = self.process.mean(outcome.values())
        row = dict(zip(COLUMNS, values.tolist(), strict=True))
        if not math.isfinite(row["loss"]):
            raise UserError(
                f"the loss is not finite at step {step}: lower lr = {config.lr:g}, or "
                f"resume from the last checkpoint in {config.out} with warmup"
            )
        for column, value in row.items():
            self.progress.sums[column] = self.progress.sums.get(column, 0.0) + value
        return row["loss"]

    def _end_epoch(self) -> None:
        """Close the epoch's row; validate and keep weights if they are due."""
        config, progress = self.config, self.progress
        if not self.process.leads:
            progress.sums = {}
            return
        steps = self.batches.steps_an_epoch
        epoch = progress.step // steps
        last = epoch == config.epochs
        row: dict[str, Any] = {"epoch": epoch, "step": progress.step}
        row["lr"] = self.optimizer.param_groups[0]["lr"]
        row |= {column: value / steps for column, value in progress.sums.items()}
        row["seconds"] = round(progress.seconds, 1)
        kept = keep_weights(self.network, config, self.material.trained_on, "last")
        # Without validation the newest weights count as the best.
        better = last and not config.validate_on
        if config.validate_on and (last or epoch % config.validate_every == 0):
            scores = validate(kept, config)
            row |= scores
            listed = ", ".join(f"{name} {100 * value:.2f}" for name, value in scores.items())
            self.watch.say(f"epoch {epoch}: loss {row['loss']:.4g}, {listed}")
            score = sum(scores.values()) / len(scores)
            better = progress.best is None or score > progress.best
            progress.best = score if better else progress.best
        names = [f"epoch-{epoch:04d}"] if last or epoch % config.snapshot_every == 0 else []
        names += ["best"] if better else []
        for name in names:
            keep_weights(self.network, config, self.material.trained_on, name)
        progress.history.append(row)
        progress.sums = {}
        write_history(config.out, progress.history)
        self._save()

    def _save(self) -> None:
        if self.process.leads:
            save_state(self.config.out, self.network, self.optimizer, self.scaler, self.progress)
        self.saved = time.monotonic()
