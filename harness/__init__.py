"""The engine of isegbench: knows no method and no data set by name.

`from isegbench import harness; harness.run("nearest-click", "samples")` returns a data frame.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .report.results.runs import load_run as load_run
    from .store.traces import read_traces as read_traces
    from .workflows.benchmark import run as run

_EXPORTS = {
    "run": "workflows.benchmark",
    "load_run": "report.results.runs",
    "read_traces": "store.traces",
}

__all__ = ["load_run", "read_traces", "run"]


def __getattr__(name: str) -> Any:
    # Late, so that importing the package (as the command line does) costs nothing.
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
