"""Play recorded traces again: the masks after the clicks of a run."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from ..engine.loop import Engine
from ..engine.score import Observer
from ..engine.session import Pairing, Settings
from ..errors import UserError, nearest
from ..method import Method
from ..planning.plan import Selection, plan_dataset, plan_method
from ..simulators.replay import RecordedClicks
from ..store.manifest import Manifest, read_manifest
from ..store.traces import read_traces
from ..types import Click, Instance, InstanceRef, Trace


@dataclass
class Replayed:
    """One trace with its masks: steps are (clicks so far, (H, W) bool mask, IoU)."""

    method: str
    instance: Instance
    steps: list[tuple[tuple[Click, ...], np.ndarray, float]] = field(default_factory=list)


def replay_instance(
    directory: Path,
    dataset: str,
    instance: str,
    method: str | None = None,
    data_root: Path | None = None,
) -> list[Replayed]:
    """Predict again with the methods of a run, on their recorded clicks of one instance.

    method: only this one; None: all of the run with a prediction on the instance, in its order.
    The clicks are those of the first seed. Raises UserError for names that the run does not have,
    and when the data or a method cannot be loaded.
    """
    manifest = read_manifest(directory)
    frame = read_traces(directory)
    for what, name, known in (
        ("dataset", dataset, manifest.datasets),
        ("method", method, manifest.methods),
    ):
        if name is not None and name not in known:
            raise UserError(f"{directory} has no {what} {name!r}: {nearest(name, known)}")
    traces = frame[(frame["dataset"] == dataset) & (frame["instance"] == instance)]
    if traces.empty:
        known = frame.loc[frame["dataset"] == dataset, "instance"].unique()
        raise UserError(
            f"{directory} has no instance {instance!r} of {dataset}: {nearest(instance, known)}"
        )
    (ref,) = find_instances(manifest, dataset, [instance], data_root)
    rows = {name: traces.loc[traces["method"] == name] for name in manifest.methods}
    wanted = [method] if method else [name for name in rows if _predicted(rows[name])]
    return [_replay(manifest, name, rows[name], ref) for name in wanted if len(rows[name])]


def find_instances(
    manifest: Manifest, dataset: str, names: Sequence[str], data_root: Path | None
) -> list[InstanceRef]:
    """The instances of a run with these names, in this order.

    data_root: the folder of the data sets; None: the one that the run used last. Raises UserError
    when the data set is not on this machine or has no instance of a name.
    """
    recorded = manifest.invocations[-1].data_root if manifest.invocations else None
    root = data_root or (Path(recorded) if recorded else None)
    known = {
        ref.name: ref for ref in plan_dataset(manifest.datasets[dataset].spec, Selection(root)).refs
    }
    for name in names:
        if name not in known:
            raise UserError(
                f"dataset {dataset} on this machine has no instance {name!r}: check that its "
                "files are those of the run"
            )
    return [known[name] for name in names]


def play_trace(
    method: Method, trace: pd.DataFrame, ref: InstanceRef, observe: Observer | None = None
) -> Trace:
    """Predict again on the recorded clicks of a trace, on one thread.

    trace: its rows, of one seed. Raises UserError when it has no prediction.
    """
    recorded = RecordedClicks.of(trace)
    first = trace.iloc[0]
    pairing = Pairing(method, first["method"], recorded, "replay", int(first["seed"]))
    settings = Settings(clicks=len(recorded.clicks), threads=1)
    (played,) = Engine(pairing, settings, observe).run([ref])
    return played


def first_seed(traces: pd.DataFrame) -> pd.DataFrame:
    """The clicks of the first seed among the rows of traces."""
    return traces.loc[(traces["seed"] == traces["seed"].min()) & (traces["click"] > 0)]


def _predicted(traces: pd.DataFrame) -> bool:
    return bool(first_seed(traces)["iou"].notna().any())


def _replay(manifest: Manifest, name: str, trace: pd.DataFrame, ref: InstanceRef) -> Replayed:
    trace = first_seed(trace)
    if trace.empty:
        raise UserError(f"{name} failed on {ref.name} before its first prediction")
    replayed: list[Replayed] = []

    def observe(instance: Instance, so_far, mask: np.ndarray, iou: float) -> None:
        if not replayed:
            replayed.append(Replayed(name, instance))
        replayed[0].steps.append((tuple(so_far), mask, iou))

    played = play_trace(plan_method(manifest.methods[name].spec).built, trace, ref, observe)
    if not replayed:
        raise UserError(f"{name} on {ref.name} cannot be shown: {played.error}")
    return replayed[0]
