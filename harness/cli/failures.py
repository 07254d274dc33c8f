"""What went wrong in a run, for the terminal."""

import re
from typing import Any

from rich.console import Console

from ..report.results.runs import Run
from ..types import METHOD_FAILURES

#: Distinct messages of a method that are shown.
_SHOWN = 3
#: Characters of a message and lines of a traceback that are shown.
_MESSAGE, _LINES = 500, 20


def print_failures(run: Run, console: Console) -> bool:
    """Show each method's failures: how many, the first distinct messages, where the code failed.

    Returns whether anything is missing because of a method: traces that failed, or the rest of a
    method that was stopped.
    """
    failures, blamed = run.failures, False
    instances = sum(entry.planned for entry in run.manifest.datasets.values())
    planned = instances * run.manifest.protocol.seeds
    finished: Any = run.traces.drop_duplicates(["method", "dataset", "seed", "instance"])["method"]
    done: Any = finished.astype("str").value_counts()
    for method in run.manifest.methods:
        mine: Any = failures[failures["method"] == method]
        if mine.empty:
            continue
        blamed |= bool(mine["status"].isin(list(METHOD_FAILURES)).any())
        _print(console, f"\n{method}: {len(mine)} of {done[method]} traces failed")
        left = planned - int(done[method])
        if left > 0:
            _print(console, f"  {left} more are not computed: see --stop-failing-after")
        rows = reversed(mine.to_dict("records"))
        kinds = {re.sub(r"[0-9.]+", "0", row["message"]): row for row in rows}
        distinct = list(kinds.values())[::-1]
        for row in distinct[:_SHOWN]:
            _print_one(console, row)
        if len(distinct) > _SHOWN:
            _print(console, f"  ... and {len(distinct) - _SHOWN} other messages")
    if not failures.empty and run.directory is not None:
        _print(console, f"\nAll of them: {run.directory / 'failures.jsonl'}")
    return blamed


def _print_one(console: Console, row: dict[str, Any]) -> None:
    message = row["message"]
    message = message if len(message) <= _MESSAGE else f"{message[:_MESSAGE]} ..."
    place = f"{row['dataset']} {row['instance']}, click {row['click']}, {row['status']}"
    _print(console, f"  {place}: {message}")
    for line in row["traceback"].splitlines()[-_LINES:]:
        _print(console, f"    {line[:_MESSAGE]}")


def _print(console: Console, line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False, markup=False)
