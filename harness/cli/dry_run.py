"""What `isegbench run --dry-run` prints: the plan, and the estimated time."""

from statistics import fmean, stdev

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..planning.config import RunConfig
from ..workflows.forecast import Forecast, Part, forecast

#: Units of time: name, seconds, and the same of the next smaller unit.
_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def dry_run(config: RunConfig, probe: int, console: Console) -> None:
    """Plan, probe and print: `console` shows the progress of the probe, stdout gets the plan."""
    with console.status("planning") as status:

        def on_probe(done: int, total: int) -> None:
            status.update(f"probe: {done} of {total} instances")

        found = forecast(config, probe, on_probe)
    output = Console()
    if not output.is_terminal:
        # A file has no width: keep the lines of the table whole.
        output = Console(width=max(output.width, 160))
    output.print(_plan(found.parts))
    for line in _remarks(config, found):
        output.print(line, markup=False, highlight=False, soft_wrap=True)


def _plan(parts: list[Part]) -> Table:
    """The plan as a table, a row for each method and data set, and the totals."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=True)
    table.add_column("Method", "all", overflow="fold")
    table.add_column("Data set", overflow="fold")
    counts = {
        "Instances": [part.planned for part in parts],
        "Finished": [part.finished for part in parts],
        "To do": [part.left for part in parts],
        "Predictions\nat most": [part.predictions for part in parts],
    }
    for heading, column in counts.items():
        table.add_column(heading, f"{sum(column):,}", justify="right")
    work = [part.work() for part in parts]
    total = None if None in work else sum(seconds or 0.0 for seconds in work)
    for heading, footer in (
        ("Workers", ""),
        ("Seconds\neach", ""),
        ("One worker\nneeds", duration(total)),
    ):
        table.add_column(heading, footer, justify="right")
    for number, part in enumerate(parts):
        numbers = [f"{column[number]:,}" for column in counts.values()]
        each = _each(part)
        names = (Text(part.method), Text(part.dataset))
        table.add_row(*names, *numbers, str(part.workers), each, duration(work[number]))
    return table


def _each(part: Part) -> str:
    if not part.seconds:
        return "failed" if part.failures else "?" if part.left else "–"
    spread = f" ± {stdev(part.seconds):.2g}" if len(part.seconds) > 1 else ""
    return f"{fmean(part.seconds):.3g}{spread}"


def _remarks(config: RunConfig, found: Forecast) -> list[str]:
    """The lines below the table: the run, the estimate, and the failures of the probe."""
    seeds = f", {config.seeds} seeds" if config.seeds > 1 else ""
    where = "in this process" if config.executor == "inline" else "on Ray workers"
    lines = ["", f"Up to {config.clicks} clicks{seeds}; {where}; batches of {config.batch_size}."]
    lines.append(_estimate(found))
    if found.interrupted:
        lines.append("The probe was interrupted.")
    failures = [(part, line) for part in found.parts for line in part.failures]
    if failures:
        lines.append(f"{len(failures)} probed instance(s) failed, which a run would count:")
        lines += [f"  {part.method} on {part.dataset}: {line}" for part, line in failures[:10]]
    lines.append(f"Nothing was written{f' in {config.out}' if config.out else ''}.")
    return lines


def _estimate(found: Forecast) -> str:
    if not any(part.left for part in found.parts):
        return "Everything is finished: a run would compute nothing."
    seconds, low, high = found.seconds(), found.seconds(-2), found.seconds(2)
    if seconds is None:
        return "Estimated time: unknown, because not every method and data set was probed."
    spread = " (no range: one probed instance has no spread)"
    if low is not None and high is not None:
        spread = f" ({duration(low)} to {duration(high)})"
    return (
        f"Estimated time: {duration(seconds)}{spread}. The start of workers and the building of "
        "methods come on top."
    )


def duration(seconds: float | None) -> str:
    """Seconds in words short enough for a table.

    >>> duration(0.4), duration(75), duration(4000), duration(200000)
    ('< 1 s', '1 min 15 s', '1 h 7 min', '2 d 8 h')
    """
    if seconds is None:
        return "?"
    if seconds < 1:
        return "< 1 s" if seconds > 0 else "0 s"
    for unit, size, below, step in _UNITS:
        if round(seconds / step) >= size // step:
            whole, rest = divmod(round(seconds / step), size // step)
            return f"{whole} {unit} {rest} {below}" if rest else f"{whole} {unit}"
    return f"{seconds:.0f} s"
