"""A benchmark harness for interactive image segmentation: what a program imports.

    import isegbench

    run = isegbench.run(["nearest-click", "geodesic"], "samples[0:4]", clicks=5)
    run.leaderboard()

Every name is imported on its first use, so `import isegbench` is fast and needs neither torch nor
ray. The folders beside this file are links to the rooms at the root of the repository.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._register import register as register
    from ._report import compare as compare
    from ._report import report as report
    from ._run import run as run
    from .harness.dataset import Dataset as Dataset
    from .harness.method import Method as Method
    from .harness.method import Paper as Paper
    from .harness.method import Session as Session
    from .harness.report.results.runs import Run as Run
    from .harness.report.results.runs import load_run as load_run
    from .harness.simulator import Simulator as Simulator
    from .harness.types import Click as Click
    from .harness.types import InstanceRef as InstanceRef
    from .harness.workflows.check import check as check
    from .harness.workflows.predictor import Predictor as Predictor

    __version__: str

_MODULES = {
    "Click": "harness.types",
    "Dataset": "harness.dataset",
    "InstanceRef": "harness.types",
    "Method": "harness.method",
    "Paper": "harness.method",
    "Predictor": "harness.workflows.predictor",
    "Run": "harness.report.results.runs",
    "Session": "harness.method",
    "Simulator": "harness.simulator",
    "check": "harness.workflows.check",
    "compare": "_report",
    "load_run": "harness.report.results.runs",
    "register": "_register",
    "report": "_report",
    "run": "_run",
}

__all__ = [
    "Click",
    "Dataset",
    "InstanceRef",
    "Method",
    "Paper",
    "Predictor",
    "Run",
    "Session",
    "Simulator",
    "__version__",
    "check",
    "compare",
    "load_run",
    "register",
    "report",
    "run",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("isegbench")
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
