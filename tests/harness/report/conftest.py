"""Runs made up for the report's tests, written the way `isegbench run` writes them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from isegbench.harness.store.manifest import DatasetEntry, Manifest, MethodEntry, Protocol
from isegbench.harness.store.traces import Store
from isegbench.harness.types import Click, Step, Trace


def make_trace(
    ious: Sequence[float | None],
    method: str = "m",
    dataset: str = "grabcut",
    instance: str = "a",
    seed: int = 0,
    simulator: str = "largest-error",
    status: Any = "ok",
) -> Trace:
    """A trace with these IoUs, one a click."""
    steps = tuple(Step(Click(1.0, 2.0, "positive"), value, 0.1, 0.2) for value in ious)
    error = None if status == "ok" else "it broke"
    return Trace(method, dataset, simulator, seed, instance, steps, status, error)


@pytest.fixture
def trace() -> Callable[..., Trace]:
    """`trace(ious, ...)`: a trace with these IoUs, one a click."""
    return make_trace


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    """`write_run(traces, ...)`: a run directory that holds them, and a manifest that fits them.

    methods, datasets: what the entries of some names have beyond the defaults. protocol: what it
    has beyond a budget of 5 clicks.
    """

    def write(
        traces: Sequence[Trace],
        name: str = "run",
        methods: dict[str, dict] | None = None,
        datasets: dict[str, dict] | None = None,
        **protocol: Any,
    ) -> Path:
        directory = tmp_path / name
        directory.mkdir()
        methods = {t.method: {} for t in traces} | (methods or {})
        datasets = {t.dataset: {} for t in traces} | (datasets or {})
        count = {d: len({t.instance for t in traces if t.dataset == d}) for d in datasets}
        manifest = Manifest(
            isegbench="0.1.0",
            created="2026-01-01T00:00:00+00:00",
            protocol=Protocol(**{"simulator": "largest-error", "clicks": 5} | protocol),
            methods={
                m: MethodEntry(**{"spec": m, "opening": "click", "threshold": 0.5} | more)
                for m, more in methods.items()
            },
            datasets={
                d: DatasetEntry(
                    **{
                        "spec": d,
                        "instances": count[d],
                        "fingerprint": f"names of {d}",
                        "planned": count[d],
                    }
                    | more
                )
                for d, more in datasets.items()
            },
        )
        (directory / "manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
        with Store(directory) as store:
            for item in traces:
                store.add(item)
        return directory

    return write
