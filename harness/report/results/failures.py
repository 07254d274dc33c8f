"""What went wrong in a run, a row a trace, with the message of the error."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ...types import TRACE_KEY

#: The columns of `failures_of`.
FAILURES = (*TRACE_KEY, "click", "status", "message", "traceback")


def failures_of(
    traces: pd.DataFrame, messages: Mapping[tuple, str], tracebacks: Mapping[tuple, str]
) -> pd.DataFrame:
    """The traces that failed: columns method, dataset, simulator, seed, instance, click, status,
    message, traceback.

    traces: as `store.read_traces` gives them. messages, tracebacks: by trace key, "" where one is
    missing.
    click: the number of the click that got no prediction, 0 for a failure before the first click.
    """
    failed = traces.loc[(traces["status"] != "ok").to_numpy(), [*TRACE_KEY, "click", "status"]]
    text = [name for name in failed if name not in ("seed", "click")]
    failed = failed.astype(dict.fromkeys(text, "str")).reset_index(drop=True)
    keys = list(failed[list(TRACE_KEY)].itertuples(index=False, name=None))
    found = {
        name: pd.Series([texts.get(key, "") for key in keys], index=failed.index, dtype="str")
        for name, texts in (("message", messages), ("traceback", tracebacks))
    }
    return failed.assign(**found)


def read_messages(
    directory: Path, most: int | None = None, field: str = "error"
) -> dict[tuple, str]:
    """The messages of DIR/failures.jsonl by the key of the trace; the last one of each counts.

    most: read the last so many lines only. field: "error" or "traceback". Lines that are not
    such records are passed over: a death may have cut the last one short.
    """
    try:
        lines = (Path(directory) / "failures.jsonl").read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[tuple, str] = {}
    for line in lines if most is None else lines[-most:]:
        try:
            record = json.loads(line)
            found[tuple(record[name] for name in TRACE_KEY)] = str(record[field])
        except (ValueError, KeyError, TypeError):
            continue
    return found
