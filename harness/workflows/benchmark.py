"""A whole benchmark from Python: plan it, execute it, keep what comes."""

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..executors.choose import make_executor
from ..executors.executor import Executor, Watch
from ..planning.config import RunConfig
from ..planning.plan import Job, Plan, make_plan
from ..store import environment
from ..store.differences import Resume
from ..store.directory import INSTANCES, admit, exclusive, record_instances
from ..store.manifest import Invocation, Kept, Manifest, now
from ..store.masks import write_coco
from ..store.traces import Store, finished
from ..types import Trace

#: Called once with the jobs to do and the number of traces already there, then with each trace.
OnStart = Callable[[list[Job], int], None]
OnTrace = Callable[[Trace], None]


def compute(
    config: RunConfig,
    on_start: OnStart | None = None,
    on_trace: OnTrace | None = None,
    watch: Watch | None = None,
) -> tuple[Plan, Manifest, list[Trace]]:
    """Run what a configuration describes and write nothing; parameters as for `execute`."""
    plan, executor = make_plan(config), make_executor(config)
    manifest, jobs = describe(plan, executor, config), plan.jobs(set())
    if on_start:
        on_start(jobs, 0)
    traces = []
    with _closed(executor.run(jobs, watch)) as coming:
        for trace in coming:
            traces.append(trace)
            if on_trace:
                on_trace(trace)
    return plan, manifest, traces


def execute(
    config: RunConfig,
    on_start: OnStart | None = None,
    on_trace: OnTrace | None = None,
    watch: Watch | None = None,
) -> Plan:
    """Run what a configuration describes into `config.out`, resuming what is there.

    watch: told of the workers, where the executor has any. Raises UserError when the directory
    belongs to a run with other settings. However it ends, finished traces are on disk, and their
    masks as COCO JSON where they are kept.
    """
    if config.out is None:
        raise UserError("out is missing: name the directory the run is kept in")
    plan, out = make_plan(config), config.out
    kept_in = out.absolute()

    def write_masks() -> None:
        if (kept_in / INSTANCES).exists():
            write_coco(kept_in, pd.read_parquet(kept_in / INSTANCES))

    at_end = write_masks if config.save_masks else None
    carry_out(plan, out, config, on_start, on_trace, at_end, watch)
    return plan


def carry_out(
    plan: Plan,
    out: Path,
    config: RunConfig,
    on_start: OnStart | None = None,
    on_trace: OnTrace | None = None,
    at_end: Callable[[], None] | None = None,
    watch: Watch | None = None,
) -> None:
    """Compute what a plan has left to do into the directory `out`.

    at_end: called however the computing ends, while nobody else can write to the directory.
    Raises UserError when the directory belongs to a run with other settings.
    """
    executor = make_executor(config)
    # A method may change the working directory while the run goes on.
    traces_in = out.absolute()
    with exclusive(out):
        admit(out, describe(plan, executor, config), Resume(**config.fields_of(Resume)))
        record_instances(out, plan.instances())
        jobs = plan.jobs(finished(out, config.retry_failures))
        if on_start:
            on_start(jobs, _planned(plan) - sum(len(job.refs) for job in jobs))
        try:
            with (
                Store(traces_in) as store,
                _closed(executor.run(jobs, watch) if jobs else ()) as traces,
            ):
                for trace in traces:
                    store.add(trace)
                    if on_trace:
                        on_trace(trace)
        finally:
            if at_end:
                at_end()


@contextmanager
def _closed(traces: Iterable[Trace]) -> Iterator[Iterable[Trace]]:
    """Stop an executor's work however the loop over its traces is left."""
    try:
        yield traces
    finally:
        if isinstance(traces, Generator):
            traces.close()


def describe(plan: Plan, executor: Executor, config: RunConfig) -> Manifest:
    """The manifest of a plan that is about to run."""
    invocation = Invocation(
        started=now(),
        command=environment.command(),
        executor=executor.describe(),
        versions=environment.versions(),
        hardware=environment.hardware(),
        commit=environment.commit(),
        data_root=str(config.data_root) if config.data_root else None,
    )
    return Manifest(
        isegbench=environment.package_version(),
        created=invocation.started,
        protocol=plan.protocol,
        methods={method.name: method.entry for method in plan.methods},
        datasets={dataset.name: dataset.described() for dataset in plan.datasets},
        invocations=[invocation],
        kept=Kept(**config.fields_of(Kept), masks=config.save_masks),
        simulator=plan.simulator.identity,
    )


def _planned(plan: Plan) -> int:
    instances = sum(len(dataset.refs) for dataset in plan.datasets)
    return len(plan.methods) * instances * plan.protocol.seeds
