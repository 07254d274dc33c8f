"""Runs as a report sees them: read from disk, and merged where their numbers are comparable."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from ..errors import UserError
from ..manifest import DatasetEntry, Manifest, MethodEntry, Protocol, read_manifest
from ..store import read_traces

#: What must be equal for two runs to stand in one table; seeds may differ.
COMPARABLE = ("simulator", "clicks", "stop_at", "time_limit")
#: What makes a data set of one name the same instances.
SAME_INSTANCES = ("instances", "fingerprint", "planned", "subset")


@dataclass(frozen=True)
class Run:
    """One run directory: its manifest, and its traces as `store.read_traces` gives them."""

    directory: Path
    manifest: Manifest
    traces: pd.DataFrame


@dataclass(frozen=True)
class Results:
    """The traces of one or several comparable runs, and what they are traces of.

    planned: how many traces each (method, data set) is to have, over all seeds.
    """

    protocol: Protocol
    methods: dict[str, MethodEntry]
    datasets: dict[str, DatasetEntry]
    planned: dict[tuple[str, str], int]
    traces: pd.DataFrame
    directories: list[Path] = field(default_factory=list)


def load_run(directory: Path | str) -> Run:
    """Read a run directory; needs neither images nor torch nor ray.

    Raises UserError when it is not a run, or holds traces its manifest does not name.
    """
    directory = Path(directory)
    run = Run(directory, read_manifest(directory), read_traces(directory))
    for column, known in (("method", run.manifest.methods), ("dataset", run.manifest.datasets)):
        strange = sorted(set(run.traces[column].unique()) - set(known))
        if strange:
            raise UserError(
                f"{directory}: the traces are of {column} {', '.join(strange)}, "
                f"which the manifest does not name"
            )
    return run


def merge(runs: Sequence[Run]) -> Results:
    """Put runs side by side.

    Raises UserError with the difference when their protocols, the instances of a data set or the
    settings of a method differ, or when one (method, data set, seed) is in two of them.
    """
    if not runs:
        raise UserError("no run given: name at least one directory that `isegbench run` wrote")
    first = runs[0]
    methods: dict[str, MethodEntry] = {}
    datasets: dict[str, DatasetEntry] = {}
    owner: dict[str, Path] = {}
    planned: dict[tuple[str, str], int] = {}
    for run in runs:
        _same(COMPARABLE, "protocol", first.manifest.protocol, first, run.manifest.protocol, run)
        for name, entry in run.manifest.methods.items():
            known = methods.setdefault(name, entry)
            source = owner.setdefault(f"method {name}", run.directory)
            _same(MethodEntry.model_fields, f"method {name}", known, source, entry, run)
        for name, entry in run.manifest.datasets.items():
            known = datasets.setdefault(name, entry)
            source = owner.setdefault(f"data set {name}", run.directory)
            _same(SAME_INSTANCES, f"data set {name}", known, source, entry, run)
            for method in run.manifest.methods:
                wanted = entry.planned * run.manifest.protocol.seeds
                planned[method, name] = planned.get((method, name), 0) + wanted
    _refuse_overlap(runs)
    traces = pd.concat([run.traces for run in runs], ignore_index=True)
    directories = [run.directory for run in runs]
    return Results(first.manifest.protocol, methods, datasets, planned, traces, directories)


def load_results(runs: Path | str | Run | Iterable[Path | str | Run]) -> Results:
    """`merge` of runs, each given as a directory or already loaded. Raises UserError."""
    if isinstance(runs, (Path, str, Run)):
        runs = [runs]
    return merge([run if isinstance(run, Run) else load_run(run) for run in runs])


def _same(
    fields: Iterable[str],
    what: str,
    a: object,
    where_a: Run | Path,
    b: object,
    where_b: Run | Path,
) -> None:
    places = [place.directory if isinstance(place, Run) else place for place in (where_a, where_b)]
    for name in fields:
        values = getattr(a, name), getattr(b, name)
        if values[0] != values[1]:
            raise UserError(
                f"{places[0]} and {places[1]} cannot stand in one table: {what}: {name} is "
                f"{_shown(values[0])} in the first and {_shown(values[1])} in the second; "
                "report them apart"
            )


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)


def _refuse_overlap(runs: Sequence[Run]) -> None:
    seen: dict[tuple, Path] = {}
    for run in runs:
        keys = run.traces[["method", "dataset", "seed"]].drop_duplicates()
        for method, dataset, seed in keys.itertuples(index=False, name=None):
            other = seen.setdefault((method, dataset, seed), run.directory)
            if other is not run.directory:
                raise UserError(
                    f"{other} and {run.directory} both hold {method} on {dataset} with seed "
                    f"{seed}: leave one out, or run them with different seeds"
                )
