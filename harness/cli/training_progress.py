"""Progress of a training: a bar, or plain lines when nobody watches."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

#: Seconds between two plain lines.
_QUIET = 30.0
#: How much of the shown loss is the newest step's.
_NEW = 0.05


class TrainingProgress:
    """Shows a training's steps on a console; a context manager around it, and a `Watch`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Bars(
            TextColumn("step"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task: TaskID | None = None
        self._steps = self._done = self._made = 0
        self._loss: float | None = None
        self._begun = self._last_line = time.monotonic()

    def __enter__(self) -> "TrainingProgress":
        self._bars.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.__exit__(kind, error, trace)

    def start(self, steps: int, done: int) -> None:
        """Say where the training stands and set up the bar."""
        if done:
            self._console.print(f"Resuming after step {done} of {steps}.")
        self._steps, self._done = steps, done
        self._begun = self._last_line = time.monotonic()
        self._task = self._bars.add_task("", total=steps, completed=done, loss="", rate="")

    def step(self, loss: float) -> None:
        """Count one step; the loss shown is smoothed."""
        self._made += 1
        self._done += 1
        self._loss = loss if self._loss is None else (1 - _NEW) * self._loss + _NEW * loss
        now = time.monotonic()
        rate = f"{self._made / max(now - self._begun, 1e-9):.2f} steps/s"
        if self._task is not None:
            self._bars.update(self._task, advance=1, loss=f"{self._loss:.4g}", rate=rate)
        if not self._console.is_terminal and now - self._last_line >= _QUIET:
            self._last_line = now
            self.say(f"step {self._done}/{self._steps}: loss {self._loss:.4g}, {rate}")

    def say(self, text: str) -> None:
        """Print a line beside the bar."""
        self._console.print(text, soft_wrap=True, highlight=False, markup=False)
