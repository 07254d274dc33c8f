"""`isegbench.run`: a benchmark from Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from .harness.dataset import Dataset
from .harness.errors import UserError
from .harness.method import Method
from .harness.planning.config import RunConfig, make_config
from .harness.report.results.failures import failures_of
from .harness.report.results.runs import Run, load_run
from .harness.simulator import Simulator
from .harness.store.traces import to_frame, to_table
from .harness.workflows.benchmark import compute, execute

#: `"name:key=value"`, a table `{"name": ..., key: value, "label": ...}`, a class or an object.
MethodLike = str | dict[str, Any] | type[Method] | Method
DatasetLike = str | dict[str, Any] | type[Dataset] | Dataset
SimulatorLike = str | dict[str, Any] | Simulator


def run(
    methods: MethodLike | Sequence[MethodLike],
    datasets: DatasetLike | Sequence[DatasetLike],
    *,
    simulator: SimulatorLike = "largest-error",
    clicks: int = 20,
    stop_at: float | None = None,
    seed: int = 0,
    seeds: int = 1,
    executor: Literal["inline", "ray"] = "inline",
    workers: int | None = None,
    gpus_per_worker: float = 0,
    ray_address: str | None = None,
    runtime_env: dict[str, Any] | None = None,
    ship_package: bool = False,
    batch_size: int = 1,
    data_root: Path | str | None = None,
    limit: int | None = None,
    instances: Path | str | None = None,
    time_limit: float | None = None,
    retry_failures: bool = False,
    redo: str | Sequence[str] = (),
    keep: bool = False,
    stop_failing_after: int = 5,
    boundary_iou: bool = False,
    save_masks: bool = False,
    out: Path | str | None = None,
    progress: bool | None = None,
) -> Run:
    """Run methods on data sets with a simulated user; see `Run` for what comes back.

    methods, datasets: one or several; each a name such as `"geodesic:radius=3"` or
    `"samples[0:4]"`, `"path/to/file.py:Class"`, a table `{"name": ..., key: value, "label": ...}`,
    a class or an object. A table of a method may hold `"resources": {"gpus": 0.25, "cpus": 1,
    "memory": "8GiB"}`, what each of its Ray workers occupies.
    simulator: who clicks. clicks: the budget of each instance. stop_at: the IoU in (0, 1] at which
    a trace ends. seed, seeds: the first random seed, and how many.
    executor: `"inline"` (this process) or `"ray"`. workers: Ray workers; by default all cores.
    gpus_per_worker: GPUs of a Ray worker, possibly a fraction. ray_address: a running cluster; by
    default Ray is started on this machine. runtime_env: as `ray.init` takes it. ship_package: send
    isegbench to Ray nodes that lack it.
    batch_size: sessions per prediction. data_root: the folder that holds the data sets. limit: only
    the first N instances of each data set. instances: a file with the names of instances, one a
    line. time_limit: seconds that a prediction may take. retry_failures: compute failed traces of
    `out` again. redo: methods of `out`, by their names in it, to compute again; their traces are
    removed. keep: resume `out` though code or data differ; its manifest records what does.
    stop_failing_after: a method stops when its first N instances all fail alike, 0: never.
    boundary_iou: score boundary IoU after every click too. save_masks: keep the last
    mask of every trace as COCO JSON in `out`.
    out: the run directory, made or resumed; without it nothing is written. progress: whether to
    show progress on stderr; by default in terminals and notebooks.

    Raises UserError for anything that is wrong with the request, naming the parameter.
    """
    given = {name: value for name, value in locals().items() if name != "progress"}
    config = make_config(given)
    if config.save_masks and config.out is None:
        raise UserError("save_masks needs out, the directory that the masks are kept in")
    if _shown(progress):
        from rich.console import Console

        from .harness.cli.progress import Progress

        with Progress(Console(stderr=True)) as bars:
            return _run(config, bars.start, bars.advance, bars.watch)
    return _run(config)


def _run(config: RunConfig, *callbacks: Any) -> Run:
    """callbacks: `on_start`, `on_trace` and `watch` of `execute` and `compute`."""
    if config.out is not None:
        execute(config, *callbacks)
        return load_run(config.out)
    plan, manifest, traces = compute(config, *callbacks)
    frame = to_frame(to_table(traces))
    messages = {trace.key: trace.error or "" for trace in traces}
    tracebacks = {trace.key: trace.traceback for trace in traces}
    failures = failures_of(frame, messages, tracebacks)
    return Run(None, manifest, frame, plan.instances(), failures=failures)


def _shown(progress: bool | None) -> bool:
    if progress is not None:
        return progress
    from rich.console import Console

    console = Console(stderr=True)
    return console.is_terminal or console.is_jupyter
