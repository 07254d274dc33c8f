"""What a run would do and how long it would take: its plan, and a short probe of it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, median, stdev
from time import monotonic

from ..executors.choose import make_executor
from ..executors.executor import Executor
from ..planning.config import RunConfig
from ..planning.plan import Job, MethodPlan, Plan, make_plan
from ..planning.resources import Resources
from ..simulators.openings import OPENINGS
from ..store.differences import Resume
from ..store.directory import refuse_other_run
from ..store.traces import finished
from ..types import Trace
from .benchmark import describe

#: After so many seconds a probe asks for no more than one instance of each pair.
PROBE_SECONDS = 60.0


@dataclass(frozen=True)
class Part:
    """One method on one data set: what is planned, and what the probe saw of it.

    planned, finished: traces, over all seeds. predictions: of what is left, at most. seconds: of
    one worker on each instance probed. failures: what went wrong with others, one line each.
    """

    method: str
    dataset: str
    resources: Resources
    planned: int
    finished: int
    predictions: int
    seconds: Sequence[float] = ()
    failures: Sequence[str] = ()

    @property
    def left(self) -> int:
        """Traces still to be made."""
        return self.planned - self.finished

    @property
    def work(self) -> float | None:
        """Seconds one worker would need for what is left; None where nothing was probed."""
        if not self.left:
            return 0.0
        return self.left * fmean(self.seconds) if self.seconds else None

    @property
    def variance(self) -> float | None:
        """Of `work`, as the mean of a sample without replacement; None below two instances."""
        probed = len(self.seconds)
        if not self.left or probed == self.left:
            return 0.0
        if probed < 2:
            return None
        unseen = max(0.0, 1 - probed / self.left)
        return unseen * (self.left * stdev(self.seconds)) ** 2 / probed


@dataclass(frozen=True)
class Room:
    """How many workers there can be at once, by method, and what the machines have in all."""

    workers: Mapping[str, int]
    cpus: float = 0.0
    gpus: float = 0.0


@dataclass(frozen=True)
class Forecast:
    """A plan with what it would cost."""

    parts: list[Part]
    room: Room
    interrupted: bool = field(default=False)

    @property
    def seconds(self) -> float | None:
        """Of the wall for all that is left; None where some of it could not be probed.

        Workers start at once, are never idle and never die.
        """
        work: dict[tuple[int, Resources], float] = {}
        for part in self.parts:
            if part.work is None:
                return None
            kind = (self.room.workers[part.method], part.resources)
            work[kind] = work.get(kind, 0.0) + part.work
        # Methods with other needs run beside each other as far as cores and GPUs allow.
        alone = [seconds / count for (count, _), seconds in work.items()]
        cores = sum(seconds * kind.cpus for (_, kind), seconds in work.items())
        devices = sum(seconds * (kind.gpus or 0) for (_, kind), seconds in work.items())
        bounds = [(cores, self.room.cpus), (devices, self.room.gpus)]
        return max([0.0, *alone, *(need / have for need, have in bounds if have)])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Where `seconds` lies with 90% confidence, by Student's t; None without a spread."""
        from scipy.stats import t

        total = self.seconds
        variances = [part.variance for part in self.parts]
        known = [value for value in variances if value is not None]
        if not total or len(known) < len(variances):
            return None
        work = sum(part.work or 0.0 for part in self.parts)
        # Welch and Satterthwaite's degrees of freedom of a sum of independent estimates.
        spread = sum(
            variance**2 / (len(part.seconds) - 1)
            for part, variance in zip(self.parts, known, strict=True)
            if variance
        )
        freedom = sum(known) ** 2 / spread if spread else 1.0
        half = float(t.ppf(0.95, freedom)) * sqrt(sum(known)) / work
        return max(0.0, total * (1 - half)), total * (1 + half)


def forecast(
    config: RunConfig, probe: int = 5, on_probe: Callable[[int, int], None] | None = None
) -> Forecast:
    """Plan what a configuration describes, play a few instances of each pair, estimate the rest.

    Nothing is written. With `config.out` what is finished there is left out, and a directory that
    could not be resumed is refused, as a run would. probe: instances of each method and data set,
    evenly spread, computed by the executor that would run them; fewer after PROBE_SECONDS, but
    one at least; 0: none. on_probe: told how many are done, of how many. Ctrl-C ends the probe.
    Raises UserError.
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
    traces: list[Trace] = []
    interrupted = False
    with _room(config, plan) as room:
        try:
            # Ray is there now, with what the configuration wants it to bring along.
            settled = config.model_copy(update={"runtime_env": None, "ship_package": False})
            for trace in _probe(make_executor(settled), jobs, probe, on_probe):
                traces.append(trace)
        except KeyboardInterrupt:
            interrupted = True
    return Forecast(list(_parts(plan, jobs, traces)), room, interrupted)


def _probe(
    executor: Executor,
    jobs: Sequence[Job],
    count: int,
    told: Callable[[int, int], None] | None,
) -> Iterator[Trace]:
    """Traces of a few instances of each pair; one of each comes first, then the others."""
    chosen: dict[tuple[str, str], Job] = {}
    for job in jobs:
        chosen.setdefault((job.method.name, job.dataset_name), job)
    picked = {pair: _spread(job.refs, count) for pair, job in chosen.items()}
    rounds = [
        [replace(job, refs=refs) for pair, job in chosen.items() if (refs := picked[pair][part])]
        for part in (slice(0, 1), slice(1, None))
    ]
    of, made, started = sum(map(len, picked.values())), 0, monotonic()
    for number, wanted in enumerate(rounds):
        if not wanted or (number and monotonic() - started > PROBE_SECONDS):
            return
        for trace in executor.run(wanted):
            yield trace
            made += 1
            if told:
                told(made, of)
            if number and monotonic() - started > PROBE_SECONDS:
                return


def _spread(refs: Sequence, count: int) -> list:
    """`count` of them, evenly spread over their order, the one in the middle first."""
    count = min(count, len(refs))
    picked = [refs[(2 * number + 1) * len(refs) // (2 * count)] for number in range(count)]
    middle = count // 2
    return picked[middle : middle + 1] + picked[:middle] + picked[middle + 1 :]


def _parts(plan: Plan, jobs: Sequence[Job], traces: Iterable[Trace]) -> Iterator[Part]:
    left: dict[tuple[str, str], int] = {}
    for job in jobs:
        pair = (job.method.name, job.dataset_name)
        left[pair] = left.get(pair, 0) + len(job.refs)
    seen: dict[tuple[str, str], list[Trace]] = {}
    for trace in traces:
        seen.setdefault((trace.method, trace.dataset), []).append(trace)
    for method in plan.methods:
        each = predictions_at_most(method, plan.protocol.clicks)
        for dataset in plan.datasets:
            pair = (method.name, dataset.name)
            planned = len(dataset.refs) * plan.protocol.seeds
            count, probed = left.get(pair, 0), seen.get(pair, [])
            yield Part(
                *pair,
                method.resources,
                planned,
                planned - count,
                count * each,
                seconds_each([trace for trace in probed if trace.status == "ok"]),
                [f"{t.instance}: {t.status}: {t.error}" for t in probed if t.status != "ok"],
            )


def predictions_at_most(method: MethodPlan, clicks: int) -> int:
    """How often a method predicts on an instance that uses up its budget of clicks."""
    if not method.entry.corrections:
        return 1
    return clicks - len(OPENINGS[method.entry.opening]) + 1


def seconds_each(traces: Sequence[Trace]) -> list[float]:
    """Seconds of a worker on each trace, for predicting, scoring and simulating.

    What a process does once, such as waking the GPU, is part of some trace's first prediction:
    the median first prediction stands for all.
    """
    steps = [
        [step.step_seconds for step in trace.steps if step.step_seconds is not None]
        for trace in traces
    ]
    steps = [found for found in steps if found]
    if not steps:
        return []
    first = median(found[0] for found in steps)
    return [first + sum(found[1:]) for found in steps]


@contextmanager
def _room(config: RunConfig, plan: Plan) -> Iterator[Room]:
    """How many workers fit, and Ray held open for the probe where it would be used."""
    names = [method.name for method in plan.methods]
    if config.executor != "ray":
        yield Room(dict.fromkeys(names, 1))
        return
    from ..executors.ray.cluster import Cluster
    from ..executors.ray.package import with_package

    shapes = {
        method.name: method.resources
        if method.resources.gpus is not None
        else replace(method.resources, gpus=config.gpus_per_worker)
        for method in plan.methods
    }
    with ExitStack() as stack:
        environment = config.runtime_env
        if config.ship_package:
            environment = with_package(environment)
        given = (config.ray_address, config.workers, list(shapes.values()), environment)
        cluster = stack.enter_context(Cluster(*given))
        workers = {}
        for name, shape in shapes.items():
            fit = max(1, cluster.room(shape, []))
            workers[name] = fit if config.workers is None else min(fit, config.workers)
        yield Room(workers, *_totals())


def _totals() -> tuple[float, float]:
    import ray

    there = ray.cluster_resources()
    return there.get("CPU", 0.0), there.get("GPU", 0.0)
