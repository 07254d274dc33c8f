"""Progress of a run: a bar for each method and data set, or plain lines when nobody watches."""

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from ..plan import Job
from ..types import Trace

#: Seconds between two plain lines.
_QUIET = 10.0


class Progress:
    """Shows what a run does on a console; a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            TextColumn("{task.fields[failed]}", style="red"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[tuple[str, str], TaskID] = {}
        self._planned: Counter[tuple[str, str]] = Counter()
        self._done: Counter[tuple[str, str]] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._first: dict[tuple[str, str], float] = {}
        self._last_line = 0.0

    def __enter__(self) -> "Progress":
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def start(self, jobs: list[Job], there: int) -> None:
        """Say what is there already and set up the bars."""
        if there:
            self._console.print(f"Resuming: {there} finished traces are kept.")
        for job in jobs:
            self._planned[(job.method.name, job.dataset_name)] += len(job.refs)
        for pair, total in self._planned.items():
            description = f"{pair[0]} on {pair[1]}"
            self._tasks[pair] = self._bars.add_task(
                description, total=total, rate="", failed="", start=False
            )

    def advance(self, trace: Trace) -> None:
        """Count one finished trace."""
        pair = (trace.method, trace.dataset)
        now = time.monotonic()
        if pair not in self._first:
            self._first[pair] = now
            self._bars.start_task(self._tasks[pair])
        self._done[pair] += 1
        self._failed[pair] += trace.status != "ok"
        failed = f"{self._failed[pair]} failed" if self._failed[pair] else ""
        self._bars.update(self._tasks[pair], advance=1, rate=self._rate(pair, now), failed=failed)
        complete = self._done[pair] == self._planned[pair]
        if not self._console.is_terminal and (complete or now - self._last_line >= _QUIET):
            self._last_line = now
            line = f"{pair[0]} on {pair[1]}: {self._done[pair]}/{self._planned[pair]}"
            line += f" {self._rate(pair, now)} {failed}"
            self._console.print(line.rstrip(), soft_wrap=True, highlight=False)

    def _rate(self, pair: tuple[str, str], now: float) -> str:
        elapsed = now - self._first[pair]
        if elapsed <= 0 or self._done[pair] < 2:
            return ""
        rate = (self._done[pair] - 1) / elapsed
        return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
