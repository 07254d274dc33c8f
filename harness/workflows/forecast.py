"""How long a run would take: its plan, and a few instances of it computed and timed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from time import monotonic

from ..executors.choose import make_executor
from ..executors.executor import Executor
from ..planning.config import RunConfig
from ..planning.plan import Job, MethodPlan, evenly_spread, make_plan
from ..simulators.openings import OPENINGS
from ..store.differences import Resume
from ..store.directory import refuse_other_run
from ..store.traces import finished
from ..types import Trace
from .benchmark import describe

#: After this many seconds a probe computes no more than one instance of each pair.
PROBE_SECONDS = 60.0


@dataclass(frozen=True)
class Part:
    """One method on one data set: its plan, and the times of its probed instances.

    workers: how many workers of the method fit. planned, finished: traces, over all seeds.
    predictions: the most that the unfinished traces need. seconds: of one worker, for each probed
    instance. failures: one line for each probed instance that failed.
    """

    method: str
    dataset: str
    workers: int
    planned: int
    finished: int
    predictions: int
    seconds: Sequence[float] = ()
    failures: Sequence[str] = ()

    @property
    def left(self) -> int:
        """The number of unfinished traces."""
        return self.planned - self.finished

    def work(self, errors: float = 0.0) -> float | None:
        """Seconds of one worker for the unfinished traces: their number times the probed mean.

        errors: how many standard errors to add to the mean. None when too few instances were
        probed: none at all, or only one and `errors` is not 0.
        """
        if not self.left:
            return 0.0
        if len(self.seconds) < (2 if errors else 1):
            return None
        error = stdev(self.seconds) / sqrt(len(self.seconds)) if errors else 0.0
        return self.left * max(0.0, fmean(self.seconds) + errors * error)


@dataclass(frozen=True)
class Forecast:
    """The parts of a plan, and whether Ctrl-C ended the probe."""

    parts: list[Part]
    interrupted: bool = False

    def seconds(self, errors: float = 0.0) -> float | None:
        """Wall-clock seconds when one method runs after the other and no worker is ever idle.

        errors: as for `Part.work`. None when the work of a part is unknown.
        """
        total = 0.0
        for part in self.parts:
            work = part.work(errors)
            if work is None:
                return None
            total += work / part.workers
        return total


def forecast(
    config: RunConfig, probe: int = 5, on_probe: Callable[[int, int], None] | None = None
) -> Forecast:
    """Plan a run, compute a few instances of each method and data set, estimate the rest.

    Nothing is written. Finished traces in `config.out` are left out. probe: instances of each
    method and data set, evenly spread, computed by the executor of the run; after PROBE_SECONDS
    only one of each; 0: none. on_probe: called with the number of computed instances and the
    number of all. Ctrl-C ends the probe. Raises UserError, also for a directory that the run
    could not resume.
    """
    plan, executor = make_plan(config), make_executor(config)
    done: set[tuple] = set()
    if config.out is not None:
        if Path(config.out).exists():
            how = Resume(**config.fields_of(Resume))
            refuse_other_run(config.out, describe(plan, executor, config), how)
        done = finished(config.out, config.retry_failures)
        done = {key for key in done if key[0] not in config.redo}
    jobs = plan.jobs(done)
    left: dict[tuple[str, str], int] = {}
    for job in jobs:
        pair = (job.method.name, job.dataset_name)
        left[pair] = left.get(pair, 0) + len(job.refs)
    probed: dict[tuple[str, str], list[Trace]] = {}
    interrupted = False
    with executor.room(plan.methods) as workers:
        try:
            for trace in _probe(executor, jobs, probe, on_probe):
                probed.setdefault((trace.method, trace.dataset), []).append(trace)
        except KeyboardInterrupt:
            interrupted = True
    parts = []
    for method in plan.methods:
        each = predictions_at_most(method, plan.protocol.clicks)
        for dataset in plan.datasets:
            pair = (method.name, dataset.name)
            planned, count = len(dataset.refs) * plan.protocol.seeds, left.get(pair, 0)
            traces = probed.get(pair, [])
            seconds = seconds_each([trace for trace in traces if trace.status == "ok"])
            failures = [f"{t.instance}: {t.status}: {t.error}" for t in traces if t.status != "ok"]
            counts = (workers[method.name], planned, planned - count, count * each)
            parts.append(Part(*pair, *counts, seconds, failures))
    return Forecast(parts, interrupted)


def _probe(
    executor: Executor,
    jobs: Sequence[Job],
    count: int,
    on_probe: Callable[[int, int], None] | None,
) -> Iterator[Trace]:
    """Traces of a few instances of each pair: first one of each, then the others."""
    chosen: dict[tuple[str, str], Job] = {}
    for job in jobs:
        chosen.setdefault((job.method.name, job.dataset_name), job)
    picked = [replace(job, refs=evenly_spread(job.refs, count)) for job in chosen.values()]
    first = [replace(job, refs=job.refs[:1]) for job in picked]
    others = [replace(job, refs=job.refs[1:]) for job in picked]
    total, made, started = sum(len(job.refs) for job in picked), 0, monotonic()
    for stage in (first, [job for job in others if job.refs]):
        if not stage or not count or (made and monotonic() - started > PROBE_SECONDS):
            return
        for trace in executor.run(stage):
            yield trace
            made += 1
            if on_probe:
                on_probe(made, total)
            if stage is not first and monotonic() - started > PROBE_SECONDS:
                return


def predictions_at_most(method: MethodPlan, clicks: int) -> int:
    """The number of predictions of a method on an instance that uses all clicks."""
    if not method.entry.corrections:
        return 1
    return clicks - len(OPENINGS[method.entry.opening]) + 1


def seconds_each(traces: Sequence[Trace]) -> list[float]:
    """Seconds of a worker on each trace, for predicting, scoring and simulating.

    Work that a process does once, such as starting the GPU, is part of the first prediction of
    some trace. The median first prediction replaces that of each trace.
    """
    steps = [[s.step_seconds for s in t.steps if s.step_seconds is not None] for t in traces]
    steps = [seconds for seconds in steps if seconds]
    if not steps:
        return []
    first = median(seconds[0] for seconds in steps)
    return [first + sum(seconds[1:]) for seconds in steps]
