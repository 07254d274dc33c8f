"""The record of a training: its configuration, the epochs as CSV, the curves as a picture."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ....harness.errors import UserError
from ....harness.files import write_whole
from ....harness.store.manifest import now
from ....harness.workflows.training import Material, provenance
from .config import IOGTraining

RECORD = "training.json"
HISTORY = "history.csv"
CURVES = "curves.png"

#: The keys that may differ when a training is resumed.
_FREE = frozenset(
    {"epochs", "snapshot_every", "validate_every", "validate_on", "save_seconds", "half"}
    | {
        "threads",
        "loaders",
        "cache",
        "device",
        "ray_address",
        "data_root",
        "trained_on",
        "out",
        "exclude",
    }
)


def admit(config: IOGTraining, material: Material) -> None:
    """Write DIR/training.json of a new training, or check that the one there may be resumed.

    Raises UserError that shows every difference.
    """
    path = config.out / RECORD
    given = json.loads(config.model_dump_json())
    data = {name: entry.model_dump() for name, entry in material.datasets.items()}
    invocations: list[Any] = []
    if path.exists():
        recorded = _read(path)
        # A key that came with a later version had its default.
        was = {key: field.default for key, field in IOGTraining.model_fields.items()}
        was |= recorded["config"]
        differing = [
            f"  {key}: {was[key]!r} there, now {value!r}"
            for key, value in given.items()
            if key not in _FREE and was[key] != value
        ]
        for name in data.keys() & recorded["datasets"].keys():
            for key in ("fingerprint", "planned"):
                one, other = recorded["datasets"][name][key], data[name][key]
                if one != other:
                    differing.append(f"  {name}: {key} {one} there, now {other}")
        if differing:
            raise UserError(
                f"{config.out} holds another training; go on with the same settings or choose "
                "another out:\n" + "\n".join(differing)
            )
        invocations = recorded["invocations"]
    content = {
        "config": given,
        "datasets": data,
        "trained_on": list(material.trained_on),
        "objects": len(material.refs),
        "invocations": [*invocations, {"started": now(), **provenance()}],
    }
    write_whole(path, json.dumps(content, indent=2) + "\n")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {key: content[key] for key in ("config", "datasets", "invocations")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is not the record of a training: {error}") from error


def write_history(directory: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """DIR/history.csv, one row an epoch, and DIR/curves.png."""
    frame = pd.DataFrame(list(history))
    write_whole(directory / HISTORY, frame.to_csv(index=False))
    if len(frame):
        write_whole(directory / CURVES, _picture(frame))


def _picture(frame: pd.DataFrame) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(frame["epoch"], frame["loss"], color="#1f4e79", label="all outputs")
    left.plot(frame["epoch"], frame["loss_fine"], color="#c55a11", label="fine output")
    left.set_ylabel("loss (summed over pixels, a sample)")
    left.set_yscale("log")
    right.plot(frame["epoch"], 100 * frame["train_iou"], color="#7f7f7f", label="training crops")
    for column in frame.columns[frame.columns.str.startswith("mIoU@")]:
        scored = frame.dropna(subset=[column])
        right.plot(scored["epoch"], 100 * scored[column], marker="o", ms=3, label=column)
    right.set_ylabel("IoU (%)")
    for panel in (left, right):
        panel.set_xlabel("epoch")
        panel.grid(color="#dddddd", linewidth=0.6)
        panel.legend(fontsize=8, frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    return buffer.getvalue()
