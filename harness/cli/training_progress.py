"""Progress of a training: a bar on a terminal, plain lines elsewhere."""

from rich.console import Console
from rich.progress import Task, TextColumn

from .progress import Display

#: The weight of the newest step in the loss that is shown.
_NEW = 0.05


class TrainingProgress(Display):
    """Shows the steps, the loss and the speed of a training; a `Watch`."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, TextColumn("{task.fields[note]}"), unit="steps", quiet=30.0)
        self._task: Task | None = None
        self._loss: float | None = None

    def start(self, steps: int, done: int) -> None:
        """Set up the bar. done: the steps that an earlier training has made."""
        if done:
            self.say(f"Resuming after step {done} of {steps}.")
        self._task = self._add("step", steps, done)

    def step(self, loss: float) -> None:
        """Count one step; the loss that is shown is smoothed."""
        if self._task is None:
            return
        self._loss = loss if self._loss is None else (1 - _NEW) * self._loss + _NEW * loss
        self._bars.update(self._task.id, advance=1, note=f"loss {self._loss:.4g}")
        if self._line_is_due():
            self.say(self._line(self._task))
