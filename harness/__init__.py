"""The engine of isegbench: knows no method and no data set by name.

`from isegbench import harness; harness.run("nearest-click", "samples")` returns a data frame.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .benchmark import run as run
    from .report.runs import load_run as load_run
    from .store import read_traces as read_traces

_EXPORTS = {"run": "benchmark", "load_run": "report.runs", "read_traces": "store"}

__all__ = ["load_run", "read_traces", "run"]


def __getattr__(name: str) -> Any:
    # Late, so that importing the package (as the command line does) costs nothing.
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_EXPORTS[name]}", __name__), name)
