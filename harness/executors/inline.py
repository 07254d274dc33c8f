"""The inline executor: the engine in this process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import Any

from ..engine.loop import Engine
from ..planning.plan import Job, MethodPlan
from ..types import Trace
from .executor import Executor, Watch
from .failing import Failing


class Inline(Executor):
    """Runs one job after the other in this process, with the methods that the plan has built.

    stop_failing_after: see `RunConfig`.
    """

    def __init__(self, stop_failing_after: int = 0) -> None:
        self._stop_failing_after = stop_failing_after

    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        failing = Failing(self._stop_failing_after)
        stopped: set[str] = set()
        for job in jobs:
            if job.method.name in stopped:
                continue
            traces = Engine(job.pairing(job.method.built), job.settings).run(job.refs)
            with closing(traces):
                for trace in traces:
                    yield trace
                    if failing.add(trace):
                        stopped.add(trace.method)
                        break

    def room(self, methods: Sequence[MethodPlan]) -> AbstractContextManager[Mapping[str, int]]:
        return nullcontext({method.name: 1 for method in methods})

    def describe(self) -> dict[str, Any]:
        return {"name": "inline"}
