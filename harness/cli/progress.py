"""Progress of a run: a bar for each method and data set on a terminal, plain lines elsewhere."""

from collections import Counter
from collections.abc import Iterable
from datetime import timedelta
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from ..executors.executor import PoolStatus
from ..planning.plan import Job
from ..types import Trace

#: A method on a data set.
Pair = tuple[str, str]

#: The speed is that of the last seconds, as many as this.
_SPEED_SECONDS = 120.0
#: Lines of a terminal that bars leave free.
_MARGIN = 6


class Display:
    """Bars on a terminal, plain lines elsewhere; a context manager around the work.

    columns: what a bar shows after its counts and before its speed. unit: of a task's steps.
    quiet: seconds between two plain lines.
    """

    def __init__(
        self, console: Console, *columns: ProgressColumn, unit: str = "", quiet: float = 10.0
    ) -> None:
        self._console = console
        self._plain = not console.is_terminal
        self._unit, self._quiet, self._last_line = unit, quiet, console.get_time()
        self._bars = _Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            *columns,
            _SpeedColumn(unit),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=self._plain,
            speed_estimate_period=_SPEED_SECONDS,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line, above the bars where there are any."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)

    def _add(self, name: str, total: int, done: int = 0, visible: bool = True) -> Task:
        self._bars.add_task(name, total=total, completed=done, visible=visible, note="")
        return self._bars.tasks[-1]

    def _line_is_due(self) -> bool:
        """Whether plain lines are shown and the last one was `quiet` seconds ago."""
        now = self._console.get_time()
        if not self._plain or now - self._last_line < self._quiet:
            return False
        self._last_line = now
        return True

    def _line(self, task: Task) -> str:
        counts = f"{task.description}: {task.completed:.0f}/{task.total:.0f}"
        left = None if task.finished else task.time_remaining
        eta = "" if left is None else f"ETA {timedelta(seconds=left)}"
        parts = [counts, speed(task, self._unit), eta, task.fields["note"]]
        return " ".join(part for part in parts if part)


class Progress(Display):
    """Shows a run: finished traces, speed, failures, and the status of the workers."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, TextColumn("{task.fields[note]}", style="red", markup=False))
        self._status: PoolStatus | None = None
        self._failed: Counter[Pair | None] = Counter()
        self._tasks: dict[Pair | None, Task] = {}
        self._crowded = False

    def start(self, jobs: list[Job], there: int) -> None:
        """Set up the bars. there: the number of traces that are finished already."""
        if there:
            self.say(f"Resuming: {there} finished traces are kept.")
        planned: Counter[Pair] = Counter()
        for job in jobs:
            planned[(job.method.name, job.dataset_name)] += len(job.refs)
        self._crowded = len(planned) > self._console.height - _MARGIN
        if len(planned) > 1:
            self._tasks[None] = self._add("everything", planned.total())
        for pair, total in planned.items():
            name = f"{pair[0]} on {pair[1]}"
            self._tasks[pair] = self._add(name, total, visible=not self._crowded)

    def advance(self, trace: Trace) -> None:
        """Count one finished trace."""
        pair = (trace.method, trace.dataset)
        for key in {None, pair} & self._tasks.keys():
            self._failed[key] += trace.status != "ok"
            note = f"{self._failed[key]} failed" if self._failed[key] else ""
            self._bars.update(self._tasks[key].id, advance=1, note=note)
        task = self._tasks[pair]
        if self._crowded:
            self._bars.update(task.id, visible=not task.finished)
        if task.finished and (self._plain or self._crowded):
            self.say(self._line(task))
        if self._line_is_due():
            self._say_state()

    def watch(self, status: PoolStatus) -> None:
        """Show the status of the workers; print a line for each new failure."""
        before = self._status or PoolStatus()
        self._status = status
        self._bars.below = describe_workers(status)
        if status.failures > before.failures or status.set_aside > before.set_aside:
            self.say(f"{describe_workers(status)}; the newest: {status.problem}")
        elif self._plain and before.alive < status.alive == status.wanted:
            self.say(describe_workers(status))

    def _say_state(self) -> None:
        """Plain lines: one for each pair that has started and is not finished, then the workers."""
        for task in self._tasks.values():
            if 0 < task.completed < (task.total or 0):
                self.say(self._line(task))
        if self._status:
            self.say(describe_workers(self._status))


class _Bars(RichProgress):
    """Bars with a line of text below them."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if self.below:
            yield Text(self.below, style="dim")


class _SpeedColumn(ProgressColumn):
    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text(speed(task, self._unit))


def speed(task: Task, unit: str = "") -> str:
    """Steps of a task per second, or seconds per step; "" while it is unknown."""
    rate = task.speed
    if not rate:
        return ""
    return f"{rate:.1f}{unit and f' {unit}'}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def describe_workers(status: PoolStatus) -> str:
    """The workers and their failures, in one line."""
    # At the end all workers are stopped, and none is wanted.
    parts = [f"{status.alive} of {status.wanted} workers alive"] if status.wanted else []
    parts += [f"{status.failures} died"] if status.failures else []
    parts += [f"{status.retried} instances tried again"] if status.retried else []
    parts += [f"{status.set_aside} set aside"] if status.set_aside else []
    return ", ".join(parts)
