"""Progress of a run: a bar for each method and data set, or plain lines when nobody watches."""

import time
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.text import Text

from ..executors.executor import PoolStatus
from ..planning.plan import Job
from ..types import Trace
from .pace import Pace, Pair

#: Seconds between two times that plain lines say how far everything is.
_QUIET = 10.0
#: Lines of a terminal that bars leave free.
_MARGIN = 6


class Progress:
    """Shows what a run does on a console; a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._plain = not console.is_terminal
        self._bars = _Bars(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            _Remaining(),
            _Failed(style="red"),
            console=console,
            disable=self._plain,
        )
        self._pace = Pace([])
        self._status: PoolStatus | None = None
        self._tasks: dict[Pair | None, TaskID] = {}
        self._crowded = False
        self._last_lines = time.monotonic()
        self._said: dict[Pair, int] = {}

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
        self._pace = pace = Pace(jobs)
        if there:
            self._print(f"Resuming: {there} finished traces are kept.")
        self._crowded = len(pace.planned) > self._console.height - _MARGIN
        pairs: list[Pair | None] = [*pace.planned]
        for pair in [None, *pairs] if len(pairs) > 1 else pairs:
            self._tasks[pair] = self._bars.add_task(
                _name(pair),
                total=pace.planned.total() if pair is None else pace.planned[pair],
                visible=pair is None or not self._crowded,
                pace=pace,
                pair=pair,
            )

    def advance(self, trace: Trace) -> None:
        """Count one finished trace."""
        pace, pair = self._pace, (trace.method, trace.dataset)
        pace.add(trace)
        complete = pace.done[pair] == pace.planned[pair]
        if self._plain:
            if complete:
                self._print(self._line(pair))
            self._say_how_far()
            return
        if None in self._tasks:
            self._bars.update(self._tasks[None], advance=1)
        visible = not self._crowded or not complete
        self._bars.update(self._tasks[pair], advance=1, visible=visible)
        if not visible:
            self._print(self._line(pair))

    def watch(self, status: PoolStatus) -> None:
        """Show the status of the workers; print a line for each new failure."""
        known = self._status or PoolStatus()
        self._status = status
        self._bars.below = describe_workers(status)
        if status.failures > known.failures or status.set_aside > known.set_aside:
            self._print(f"{describe_workers(status)}; the newest: {status.problem}")
        elif self._plain and known.alive < status.alive == status.wanted:
            self._print(describe_workers(status))

    def _say_how_far(self) -> None:
        now = time.monotonic()
        if now - self._last_lines < _QUIET:
            return
        self._last_lines = now
        done = self._pace.done
        if len(self._pace.planned) > 1:
            for pair, planned in self._pace.planned.items():
                if self._said.get(pair, 0) < done[pair] < planned:
                    self._said[pair] = done[pair]
                    self._print(self._line(pair))
        workers = f"; {describe_workers(self._status)}" if self._status else ""
        self._print(self._line(None) + workers)

    def _line(self, pair: Pair | None) -> str:
        pace = self._pace
        done = pace.done.total() if pair is None else pace.done[pair]
        planned = pace.planned.total() if pair is None else pace.planned[pair]
        parts = [f"{_name(pair)}: {done}/{planned}", _speed(pace.rate(pair))]
        if done < planned:
            parts.append(f"ETA {_clock(pace.seconds_left(pair))}")
        parts.append(_failed(pace, pair))
        return " ".join(part for part in parts if part)

    def _print(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


class _Bars(Bars):
    """Bars with a line of text below them."""

    below = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        if self.below:
            yield Text(self.below, style="dim")


class _Speed(ProgressColumn):
    """Traces a second, or seconds a trace."""

    def render(self, task: Task) -> Text:
        return Text(_speed(task.fields["pace"].rate(task.fields["pair"])))


class _Remaining(ProgressColumn):
    """How long the rest will take."""

    def render(self, task: Task) -> Text:
        if task.finished:
            return Text("done", style="green")
        left = task.fields["pace"].seconds_left(task.fields["pair"])
        return Text(f"ETA {_clock(left)}", style="cyan")


class _Failed(ProgressColumn):
    """How many traces failed, if any."""

    def __init__(self, style: str) -> None:
        super().__init__()
        self._style = style

    def render(self, task: Task) -> Text:
        return Text(_failed(task.fields["pace"], task.fields["pair"]), style=self._style)


def describe_workers(status: PoolStatus) -> str:
    """Who is alive and what had to be done again, in one line."""
    # At the end all have been sent home.
    parts = [f"{status.alive} of {status.wanted} workers alive"] if status.wanted else []
    parts += [f"{status.failures} died"] if status.failures else []
    parts += [f"{status.retried} instances tried again"] if status.retried else []
    parts += [f"{status.set_aside} set aside"] if status.set_aside else []
    return ", ".join(parts)


def _name(pair: Pair | None) -> str:
    return "everything" if pair is None else f"{pair[0]} on {pair[1]}"


def _speed(rate: float | None) -> str:
    if rate is None:
        return ""
    return f"{rate:.1f}/s" if rate >= 1 else f"{1 / rate:.1f} s each"


def _clock(seconds: float | None) -> str:
    return "?" if seconds is None else str(timedelta(seconds=round(seconds)))


def _failed(pace: Pace, pair: Pair | None) -> str:
    failed = pace.failed.total() if pair is None else pace.failed[pair]
    return f"{failed} failed" if failed else ""
