"""The timing pass: seconds per click of one interactive user, measured apart from a run.

A run predicts for several sessions at once, while other threads score and simulate. Its seconds
measure the speed of a benchmark, not the time that a person waits. Here the method predicts for one
session at a time: batch 1, no other threads, and the clock is read when the device has finished.
A warm-up is not counted. The clicks are those of the run, so the work is the same.
"""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from ..engine.wrapped_method import WrappedMethod
from ..errors import UserError, nearest
from ..files import write_whole
from ..method import Method, Probabilities, Session
from ..planning.plan import evenly_spread, plan_method
from ..store import environment
from ..store.directory import exclusive
from ..store.manifest import now, read_manifest
from ..store.timing import FILE, TIMING, read_timing
from ..store.traces import read_traces
from ..types import InstanceRef
from .replay import find_instances, first_seed, play_trace

#: Called with method, data set and instance before an instance is timed.
OnInstance = Callable[[str, str, str], None]


class _Timed(WrappedMethod):
    """A method whose predictions are timed: `seconds` has one value for each."""

    def __init__(self, inner: Method) -> None:
        super().__init__(inner)
        self.seconds: list[float] = []
        self._begun = 0.0

    def begin(self, session: Session) -> None:
        _synchronise()
        started = perf_counter()
        super().begin(session)
        _synchronise()
        self._begun = perf_counter() - started

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        _synchronise()
        started = perf_counter()
        maps = super().predict(sessions)
        _synchronise()
        # A person waits for `begin` and the first prediction together.
        self.seconds.append(perf_counter() - started + self._begun)
        self._begun = 0.0
        return maps


def time_run(
    directory: Path,
    methods: Sequence[str] = (),
    datasets: Sequence[str] = (),
    instances: int = 10,
    warm_up: int = 1,
    data_root: Path | None = None,
    on_instance: OnInstance | None = None,
) -> pd.DataFrame:
    """Time the methods of a run on its own clicks and write DIR/timing.parquet.

    methods, datasets: of the run; all by default. instances: the number of each data set, spread
    evenly over those without a failure. warm_up: the number of instances that are played once
    before, not counted. Returns the content of the file, columns TIMING; new measurements replace
    earlier ones of the same method and data set. Raises UserError for names that the run does not
    have, when every trace failed, and when the data or a method cannot be loaded.
    """
    if instances < 1 or warm_up < 0:
        raise UserError("--instances must be at least 1, and --warm-up at least 0")
    directory = Path(directory)
    manifest, traces = read_manifest(directory), read_traces(directory)
    chosen_methods = _chosen(directory, "method", methods, manifest.methods)
    chosen_datasets = _chosen(directory, "dataset", datasets, manifest.datasets)
    with exclusive(directory):
        found = read_timing(directory)
        for method in chosen_methods:
            built = plan_method(manifest.methods[method].spec).built
            for dataset in chosen_datasets:
                mine = traces.loc[(traces["method"] == method) & (traces["dataset"] == dataset)]
                if mine.empty:
                    continue
                names = evenly_spread(_whole(mine), instances)
                refs = find_instances(manifest, dataset, names, data_root)
                rows = _time(built, method, mine, refs, warm_up, on_instance)
                same = (found["method"] == method) & (found["dataset"] == dataset)
                found = pd.concat([found.loc[~same], rows], ignore_index=True)
                write_whole(directory / FILE, found.to_parquet(index=False))
    if found.empty:
        raise UserError(f"{directory} has no instance without a failure to time a method on")
    return found


def _chosen(directory: Path, what: str, wanted: Sequence[str], known: dict[str, Any]) -> list[str]:
    for name in wanted:
        if name not in known:
            raise UserError(f"{directory} has no {what} {name!r}: {nearest(name, known)}")
    return list(wanted or known)


def _whole(traces: pd.DataFrame) -> list[str]:
    """Names of the instances whose traces are all ok."""
    bad = set(traces.loc[traces["status"] != "ok", "instance"])
    return [name for name in traces["instance"].unique() if name not in bad]


def _time(
    method: Method,
    name: str,
    traces: pd.DataFrame,
    refs: list[InstanceRef],
    warm_up: int,
    on_instance: OnInstance | None,
) -> pd.DataFrame:
    timed = _Timed(method)
    by_instance = dict(list(first_seed(traces).groupby("instance", sort=False)))
    rows: list[tuple] = []
    for index, ref in enumerate([*refs[:warm_up], *refs]):
        if on_instance and index >= warm_up:
            on_instance(name, ref.dataset, ref.name)
        timed.seconds.clear()
        played = play_trace(timed, by_instance[ref.name], ref)
        if played.status != "ok":
            raise UserError(f"{name} on {ref.name} cannot be timed: {played.error}")
        if index < warm_up:
            continue
        before = [np.nan] * (len(played.steps) - len(timed.seconds))
        for click, seconds in enumerate([*before, *timed.seconds], start=1):
            rows.append((name, ref.dataset, ref.name, click, seconds, _device(), now()))
    return pd.DataFrame(rows, columns=list(TIMING))


def _synchronise() -> None:
    """Wait for the GPU, where one is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def _device() -> str:
    hardware = environment.hardware()
    return ", ".join(hardware.get("gpus", [])) or str(hardware["processor"])
