"""The inline executor: the engine in this process."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..engine.loop import Engine
from ..planning.plan import Job, MethodPlan
from ..types import Trace
from .executor import Executor, Watch


class Inline(Executor):
    """Runs one job after the other in this process, with the methods that the plan has built."""

    def run(self, jobs: Sequence[Job], watch: Watch | None = None) -> Iterator[Trace]:
        for job in jobs:
            yield from Engine(job.pairing(job.method.built), job.settings).run(job.refs)

    def room(self, methods: Sequence[MethodPlan]) -> AbstractContextManager[Mapping[str, int]]:
        return nullcontext({method.name: 1 for method in methods})

    def describe(self) -> dict[str, Any]:
        return {"name": "inline"}
