"""What `isegbench run --dry-run` prints: the plan, and how long it would take."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..planning.config import RunConfig
from ..workflows.forecast import Forecast, Part, forecast

#: Units of time: name, in seconds, the next smaller one, in seconds.
_UNITS = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def dry_run(config: RunConfig, probe: int, console: Console) -> None:
    """Plan, probe and print; `console` shows how the probe goes, the table goes to the output."""
    with console.status("planning") as status:
        found = forecast(
            config,
            probe,
            lambda done, of: status.update(f"probe: {done} of {of} instances"),
        )
    output = Console()
    if not output.is_terminal:
        # Nobody sees where a line was cut; whoever reads a file wants whole ones.
        output = Console(width=max(output.width, 160))
    print_forecast(config, found, output)


def print_forecast(config: RunConfig, found: Forecast, console: Console) -> None:
    """The plan as a table, then the estimate, then what went wrong in the probe."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_footer=True)
    parts = found.parts
    finished = sum(part.finished for part in parts)
    table.add_column("Method", "all", overflow="fold")
    table.add_column("Data set", overflow="fold")
    for heading, total in (
        ("Instances", sum(part.planned for part in parts)),
        ("Finished", finished),
        ("To do", sum(part.left for part in parts)),
        ("Predictions\nat most", sum(part.predictions for part in parts)),
    ):
        table.add_column(heading, f"{total:,}", justify="right")
    table.add_column("Workers", justify="right")
    table.add_column("Seconds\neach", justify="right")
    table.add_column("One worker\nneeds", duration(_all_work(found)), justify="right")
    for part in parts:
        numbers = (part.planned, part.finished, part.left, part.predictions)
        table.add_row(
            Text(part.method),
            Text(part.dataset),
            *(f"{number:,}" for number in numbers),
            str(found.room.workers[part.method]),
            _each(part),
            duration(part.work),
        )
    console.print(table)
    for line in _remarks(config, found):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _remarks(config: RunConfig, found: Forecast) -> list[str]:
    lines = [""]
    seeds = f", {config.seeds} seeds" if config.seeds > 1 else ""
    where = "in this process" if config.executor == "inline" else _on_ray(found)
    lines.append(f"Up to {config.clicks} clicks{seeds}; {where}; batches of {config.batch_size}.")
    lines.append(_estimate(found))
    if found.interrupted:
        lines.append("The probe was interrupted.")
    failures = [(part, line) for part in found.parts for line in part.failures]
    if failures:
        lines.append(f"{len(failures)} probed instance(s) failed, which a run would count:")
        for part, line in failures[:10]:
            lines.append(f"  {part.method} on {part.dataset}: {line}")
    kept = f" in {config.out}" if config.out else ""
    lines.append(f"Nothing was written{kept}.")
    return lines


def _on_ray(found: Forecast) -> str:
    counts = sorted(set(found.room.workers.values()))
    many = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{many} Ray worker{'' if counts == [1] else 's'}"


def _estimate(found: Forecast) -> str:
    if not any(part.left for part in found.parts):
        return "Everything is finished: a run would compute nothing."
    seconds, interval = found.seconds, found.interval
    if seconds is None:
        return "Estimated time: unknown, as some of it was not probed."
    probed = sorted({len(part.seconds) for part in found.parts if part.left})
    many = f"{probed[0]}" if len(probed) == 1 else f"{probed[0]} to {probed[-1]}"
    spread = ""
    if interval is not None:
        low, high = (duration(end) for end in interval)
        spread = f" ({low} to {high} with 90% confidence)" if low != high else ""
    else:
        spread = " (from one instance of some; no spread)"
    return (
        f"Estimated time: {duration(seconds)}{spread}, from {many} instance(s) of each played "
        "here; without starting workers and building methods."
    )


def _each(part: Part) -> str:
    from statistics import fmean, stdev

    if not part.seconds:
        return "failed" if part.failures else "?" if part.left else "–"
    spread = f" ± {stdev(part.seconds):.2g}" if len(part.seconds) > 1 else ""
    return f"{fmean(part.seconds):.3g}{spread}"


def _all_work(found: Forecast) -> float | None:
    work = [part.work for part in found.parts]
    known = [seconds for seconds in work if seconds is not None]
    return sum(known) if len(known) == len(work) else None


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
