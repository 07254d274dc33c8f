"""Runs as input of a report: read from disk, and merged if their numbers are comparable."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from ...errors import UserError
from ...metrics import scores
from ...store.directory import INSTANCES
from ...store.manifest import (
    MANIFEST,
    DatasetEntry,
    Manifest,
    MethodEntry,
    Protocol,
    read_manifest,
)
from ...store.timing import TIMING, read_timing
from ...store.traces import read_traces
from ...types import TRACE_KEY
from .failures import FAILURES, failures_of, read_messages

#: Columns of the leaderboard that a notebook shows.
_IN_SHORT = ("dataset", "method", "NoC@85", "NoC@90", "NoF@90", "mIoU@1", "mIoU@5", "failures")
#: The columns of DIR/instances.parquet.
INSTANCE_COLUMNS = ("dataset", "instance", "image")
#: What must be equal for two runs to stand in one table; seeds may differ.
COMPARABLE = ("simulator", "clicks", "stop_at", "time_limit")
#: What makes two methods of one name the same, besides their code.
SETTINGS = tuple(name for name in MethodEntry.model_fields if name != "identity")
#: What makes their code the same; versions of other packages may differ.
CODE = ("name", "files", "code", "parameters")
#: What makes a data set of one name the same instances.
SAME_INSTANCES = ("instances", "fingerprint", "planned", "subset")


class Incomparable(UserError):
    """Two runs whose numbers cannot stand in one table."""


@dataclass(frozen=True, repr=False, eq=False)
class Run:
    """What a benchmark computed, as `isegbench.run` and `load_run` return it.

    directory: where the run is kept, None when it is not. manifest: methods, data sets, protocol,
    versions, hardware. traces: a row a click, as `store.read_traces` gives them. instances: those
    the run is to score, columns dataset, instance, image; an image may hold several. timing:
    seconds per click of one user, as `timing.read_timing` gives them; empty without. failures: a
    row for each trace that failed, with the reason, as `failures.failures_of` gives them.
    """

    directory: Path | None
    manifest: Manifest
    traces: pd.DataFrame
    instances: pd.DataFrame = field(default_factory=lambda: _nothing(INSTANCE_COLUMNS))
    timing: pd.DataFrame = field(default_factory=lambda: _nothing(TIMING))
    failures: pd.DataFrame = field(default_factory=lambda: _nothing(FAILURES))

    def leaderboard(self) -> pd.DataFrame:
        """One row per method and data set; columns as `report.results.leaderboard.leaderboard`."""
        from .leaderboard import leaderboard

        return leaderboard(self)

    @property
    def place(self) -> str:
        """Where the run is kept, for messages."""
        return str(self.directory or "a run that is not kept")

    def __repr__(self) -> str:
        done = self.traces.groupby(list(TRACE_KEY), observed=True).ngroups
        instances = sum(entry.planned for entry in self.manifest.datasets.values())
        planned = instances * len(self.manifest.methods) * self.manifest.protocol.seeds
        kept = "not kept" if self.directory is None else f"kept in {self.directory}"
        return (
            f"Run of {', '.join(self.manifest.methods)} on {', '.join(self.manifest.datasets)}: "
            f"{done} of {planned} traces, {len(self.failures)} failed; {kept}"
        )

    def _repr_html_(self) -> str:
        """The leaderboard in short, for notebooks."""
        board = self.leaderboard()
        columns = [name for name in _IN_SHORT if name in board]
        table = board[columns].to_html(index=False, border=0, float_format="{:.3f}".format)
        return f"<p>{escape(repr(self))}</p>\n{table}"


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
    instances: pd.DataFrame = field(default_factory=lambda: _nothing(INSTANCE_COLUMNS))
    timing: pd.DataFrame = field(default_factory=lambda: _nothing(TIMING))


def load_run(directory: Path | str, *, categorical: bool = False) -> Run:
    """Read a run directory; needs neither images nor torch nor ray.

    categorical: leave the traces' columns of text as pandas categories, which is several times
    faster. Raises UserError when it is not a run, or holds traces its manifest does not name.
    """
    directory = Path(directory)
    manifest, traces = read_manifest(directory), read_traces(directory, categorical)
    instances = _read_instances(directory)
    failures = failures_of(
        traces, read_messages(directory), read_messages(directory, field="traceback")
    )
    run = Run(directory, manifest, traces, instances, read_timing(directory), failures)
    for column, known in (("method", run.manifest.methods), ("dataset", run.manifest.datasets)):
        strange = sorted(set(run.traces[column].unique()) - set(known))
        if strange:
            raise UserError(
                f"{directory}: the traces are of {column} {', '.join(strange)}, "
                f"which the manifest does not name"
            )
    return run


def find_runs(paths: Iterable[Path | str]) -> list[Run]:
    """The runs at these paths, each a run directory or a folder of run directories.

    Raises UserError when one is neither, or a run cannot be read.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        inside = [path] if (path / MANIFEST).exists() else []
        inside = inside or sorted(manifest.parent for manifest in path.glob(f"*/{MANIFEST}"))
        if not inside:
            raise UserError(f"{path} is not a run, nor a folder of runs: no {MANIFEST} there")
        # A run named twice, as by results/runs and results/runs/one, is one run.
        found |= {directory.resolve(): directory for directory in inside}
    return [load_run(directory, categorical=True) for directory in found.values()]


def merge_apart(runs: Sequence[Run]) -> list[Results]:
    """Merge runs where they can stand in one table, and keep the others apart, in order.

    Raises UserError when one (method, data set, seed) is in two runs that can be merged.
    """
    groups: list[list[Run]] = []
    for run in runs:
        for group in groups:
            try:
                merge([*group, run])
            except Incomparable:
                continue
            group.append(run)
            break
        else:
            groups.append([run])
    return [merge(group) for group in groups]


def tidy(run: Run) -> pd.DataFrame:
    """The traces of a run as plain text and numbers, with the image of each instance."""
    text = [n for n in run.traces if isinstance(run.traces[n].dtype, pd.CategoricalDtype)]
    frame = run.traces.astype(dict.fromkeys(text, "str"))
    keys = ["dataset", "instance"]
    image = frame[keys].merge(run.instances.astype("str"), "left", keys)["image"].to_numpy()
    frame.insert(frame.columns.get_loc("instance") + 1, "image", image)  # pyright: ignore
    return frame


def merge(runs: Sequence[Run]) -> Results:
    """Put runs side by side.

    Raises Incomparable with the difference when their protocols, the instances of a data set or the
    settings of a method differ, and UserError when one (method, data set, seed) is in two of them.
    """
    if not runs:
        raise UserError("no run given: name at least one directory that `isegbench run` wrote")
    first = runs[0]
    methods: dict[str, MethodEntry] = {}
    datasets: dict[str, DatasetEntry] = {}
    owner: dict[str, Run] = {}
    planned: dict[tuple[str, str], int] = {}
    for run in runs:
        _same(COMPARABLE, "protocol", first.manifest.protocol, first, run.manifest.protocol, run)
        for name, entry in run.manifest.methods.items():
            known = methods.setdefault(name, entry)
            source = owner.setdefault(f"method {name}", run)
            _same(SETTINGS, f"method {name}", known, source, entry, run)
            if known.identity and entry.identity:
                _same(CODE, f"method {name}", known.identity, source, entry.identity, run)
        for name, entry in run.manifest.datasets.items():
            known = datasets.setdefault(name, entry)
            source = owner.setdefault(f"data set {name}", run)
            _same(SAME_INSTANCES, f"data set {name}", known, source, entry, run)
            for method in run.manifest.methods:
                wanted = entry.planned * run.manifest.protocol.seeds
                planned[method, name] = planned.get((method, name), 0) + wanted
    _refuse_overlap(runs)
    instances = pd.concat([run.instances for run in runs], ignore_index=True)
    return Results(
        first.manifest.protocol,
        methods,
        datasets,
        planned,
        _stacked([run.traces for run in runs]),
        [run.directory for run in runs if run.directory is not None],
        instances.drop_duplicates(["dataset", "instance"], ignore_index=True),
        pd.concat([run.timing for run in runs], ignore_index=True),
    )


def curves_of(results: Results, column: str = "iou") -> scores.IoUCurves:
    """`metrics.iou_curves` of all traces; its `traces` have a column `image` too, as `images_of`.

    column: what to read in place of `iou`, such as `boundary_iou`.
    """
    curves = scores.iou_curves(results.traces, results.protocol.clicks, column)
    curves.traces["image"] = images_of(results, curves.traces)
    return curves


def images_of(results: Results, traces: pd.DataFrame) -> np.ndarray:
    """The image of each trace, (N,) int64; numbers are equal where data set and image are.

    traces: with the columns dataset and instance. Where a run does not record it, an instance is an
    image of its own.
    """
    keys = ["dataset", "instance"]
    wanted = pd.DataFrame({name: traces[name].astype("str").to_numpy() for name in keys})
    known = results.instances[list(INSTANCE_COLUMNS)].astype("str")
    image = wanted.merge(known, "left", keys)["image"]
    own = "instance " + wanted["instance"]
    names = wanted["dataset"] + "\n" + ("image " + image).where(image.notna(), own)
    return pd.factorize(names, sort=True)[0]


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Traces one below the other; columns of text that are categories anywhere become categories,
    in sorted order."""
    if len(frames) == 1:
        return frames[0]
    mixed = {name for frame in frames for name in frame.select_dtypes("category")}
    for name in mixed:
        coded = [frame.assign(**{name: frame[name].astype("category")}) for frame in frames]
        categories = sorted({value for frame in coded for value in frame[name].cat.categories})
        kind = pd.CategoricalDtype(categories)
        frames = [frame.assign(**{name: frame[name].astype(kind)}) for frame in coded]
    return pd.concat(frames, ignore_index=True)


def _read_instances(directory: Path) -> pd.DataFrame:
    path = directory / INSTANCES
    if not path.exists():
        return _nothing(INSTANCE_COLUMNS)
    try:
        return pd.read_parquet(path, columns=list(INSTANCE_COLUMNS))
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} is not a list of instances: {error}") from error


def _nothing(columns: Iterable[str]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(dtype="str") for name in columns})


def load_results(runs: Path | str | Run | Iterable[Path | str | Run]) -> Results:
    """`merge` of runs, each given as a directory or already loaded. Raises UserError."""
    if isinstance(runs, (Path, str, Run)):
        runs = [runs]
    return merge([one if isinstance(one, Run) else load_run(one, categorical=True) for one in runs])


def _same(fields: Iterable[str], what: str, a: object, of_a: Run, b: object, of_b: Run) -> None:
    for name in fields:
        values = getattr(a, name), getattr(b, name)
        if values[0] != values[1]:
            raise Incomparable(
                f"{of_a.place} and {of_b.place} cannot stand in one table: {what}: {name} is "
                f"{_shown(values[0])} in the first and {_shown(values[1])} in the second; "
                "report them apart (leaderboard: --allow-mixed-protocols)"
            )


def _shown(value: object) -> str:
    return "not set" if value is None else repr(value)


def _refuse_overlap(runs: Sequence[Run]) -> None:
    seen: dict[tuple, Run] = {}
    for run in runs:
        keys = run.traces[["method", "dataset", "seed"]].drop_duplicates()
        for method, dataset, seed in keys.itertuples(index=False, name=None):
            other = seen.setdefault((method, dataset, seed), run)
            if other is not run:
                raise UserError(
                    f"{other.place} and {run.place} both hold {method} on {dataset} with seed "
                    f"{seed}: leave one out, or run them with different seeds"
                )
