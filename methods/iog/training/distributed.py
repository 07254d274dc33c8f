"""Training on several devices: one process each, through Ray Train."""

import contextlib
import threading
from typing import Any

import ray
import torch
from ray.exceptions import RayError
from ray.train import RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchTrainer, get_device
from ray.util.queue import Queue
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ....harness.errors import IsegbenchError, UserError
from ....harness.executors.ray.cluster import connect
from ....harness.planning.resources import Resources
from ....harness.workflows.training import Material, Watch
from ...runtime.device import resolve_device
from .config import IOGTraining
from .loop import Process, train_here

#: The subdirectory in which Ray Train keeps its own files.
_RAY = ".ray"


def train_on_several(config: IOGTraining, material: Material, watch: Watch) -> None:
    """Train in `config.devices` processes that exchange gradients after every step.

    Each takes an equal part of every batch. Batch normalisation uses that part alone, and the
    statistics of the first process are kept. The processes share the directory `config.out` and
    the data sets' files. Raises UserError when Ray cannot place them.
    """
    use_gpu = resolve_device(config.device).type == "cuda"
    shape = Resources(cpus=1, gpus=1 if use_gpu else None)
    started_here = connect(config.ray_address, config.devices, [shape])
    events = Queue(actor_options={"num_cpus": 0})
    listener = threading.Thread(target=_pass_on, args=(events, watch), daemon=True)
    listener.start()
    # A worker has another working directory.
    placed = config.model_copy(update={"out": config.out.resolve()})
    try:
        TorchTrainer(
            _work,
            train_loop_config={"config": placed, "material": material, "events": events},
            scaling_config=ScalingConfig(num_workers=config.devices, use_gpu=use_gpu),
            run_config=RunConfig(name="training", storage_path=str(placed.out / _RAY)),
        ).fit()
    except Exception as error:
        raise _readable(error) from error
    finally:
        events.put(None)
        listener.join(10)
        with contextlib.suppress(RayError):
            events.shutdown()
        if started_here:
            ray.shutdown()


def _work(given: dict[str, Any]) -> None:
    """The work of each process."""
    context = get_context()
    rank, processes = context.get_world_rank(), context.get_world_size()
    device = get_device()

    def spread(module: nn.Module) -> nn.Module:
        ids = [device.index or 0] if device.type == "cuda" else None
        return DistributedDataParallel(module, device_ids=ids)

    def mean(values: torch.Tensor) -> torch.Tensor:
        distributed.all_reduce(values)
        return values / processes

    if device.type == "cuda":
        torch.cuda.set_device(device)
    watch = _Events(given["events"] if rank == 0 else None)
    train_here(given["config"], given["material"], watch, Process(rank, processes, spread, mean))


class _Events:
    """A `Watch` that sends its events to another process; without a queue it drops them."""

    def __init__(self, queue: Queue | None) -> None:
        self._queue = queue

    def start(self, steps: int, done: int) -> None:
        self._send("start", steps, done)

    def step(self, loss: float) -> None:
        self._send("step", loss)

    def say(self, text: str) -> None:
        self._send("say", text)

    def _send(self, what: str, *values: Any) -> None:
        if self._queue is not None:
            self._queue.put((what, *values))


def _pass_on(queue: Queue, watch: Watch) -> None:
    """Pass a worker's events on to the watch, until None arrives."""
    with contextlib.suppress(RayError):
        while (event := queue.get()) is not None:
            getattr(watch, event[0])(*event[1:])


def _readable(error: Exception) -> IsegbenchError:
    """The error of a worker: the IsegbenchError among its causes, or else a UserError."""
    causes = [error, *getattr(error, "worker_failures", {}).values()]
    for cause in causes:
        while cause is not None:
            if isinstance(cause, IsegbenchError):
                return cause
            cause = cause.__cause__ or getattr(cause, "cause", None)
    return UserError(f"training on several devices failed: {error}")
