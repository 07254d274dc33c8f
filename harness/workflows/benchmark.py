"""A whole benchmark: plan it, compute it, keep its traces."""

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

#: Called once, with the unfinished jobs and the number of finished traces.
OnStart = Callable[[list[Job], int], None]
#: Called with each trace.
OnTrace = Callable[[Trace], None]


def compute(
    config: RunConfig,
    on_start: OnStart | None = None,
    on_trace: OnTrace | None = None,
    watch: Watch | None = None,
) -> tuple[Plan, Manifest, list[Trace]]:
    """Compute a run and write nothing; parameters as for `execute`."""
    plan, executor = make_plan(config), make_executor(config)
    manifest, jobs = describe(plan, executor, config), plan.jobs(set())
    if on_start:
        on_start(jobs, 0)
    traces = []
    with _closed(executor.run(jobs, watch)) as finished_traces:
        for trace in finished_traces:
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
    """Compute the run that a configuration describes into `config.out`, or resume it.

    on_start, on_trace: see `OnStart` and `OnTrace`. watch: called with the status of the workers,
    if the executor has workers. Raises UserError when the directory belongs to a run with other
    settings. The finished traces are on disk also after an error, and their masks as COCO JSON
    with `save_masks`.
    """
    if config.out is None:
        raise UserError("out is missing: give the directory that keeps the run")
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
    """Compute the unfinished traces of a plan into the directory `out`.

    at_end: called at the end, also after an error, while no other process can write to the
    directory.
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
    """Stop the executor at the end of the loop over its traces, also after an error."""
    try:
        yield traces
    finally:
        if isinstance(traces, Generator):
            traces.close()


def describe(plan: Plan, executor: Executor, config: RunConfig) -> Manifest:
    """The manifest of a plan, before it runs."""
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
