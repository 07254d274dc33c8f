"""Re-running the released systems' evaluations, click by click. Tests only."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from formula import formula_state

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.registry import datasets
from isegbench.harness.types import InstanceRef, Trace

# As the goldens were made; more threads round differently.
torch.set_num_threads(1)

GOLDENS = Path(__file__).parent / "goldens"


def write_checkpoint(directory: Path, target: Path) -> Path:
    """The checkpoint file of a golden model: a bare state dict, or with its `config`."""
    state = formula_state(directory)
    config = directory / "config.json"
    content: Any = state
    if config.exists():
        content = {"state_dict": state, "config": json.loads(config.read_text())}
    torch.save(content, target)
    return target


@dataclass
class Golden:
    """One instance of a released evaluation beside what came out here.

    same: how many clicks agree before the first that does not. ious, expected: after each.
    near: pixels that could flip, per click.
    """

    name: str
    clicks: list[list[Any]]
    expected_clicks: list[list[Any]]
    ious: np.ndarray
    expected_ious: np.ndarray
    near: np.ndarray

    @property
    def same(self) -> int:
        pairs = zip(self.clicks, self.expected_clicks, strict=True)
        return next((k for k, (a, b) in enumerate(pairs) if a != b), len(self.clicks))

    def iou_error(self, clicks: int | None = None, solid: bool = False) -> float:
        """The largest IoU difference over the first clicks (all that agree); solid: where no
        pixel is near the threshold."""
        count = self.same if clicks is None else min(clicks, self.same)
        errors = np.abs(self.ious - self.expected_ious)[:count]
        return float(errors[self.near[:count] == 0].max(initial=0) if solid else errors.max())


def rerun(
    method: Any, simulator: Any, rows: list[dict], data_root: Path, clicks: int, batch_size: int = 1
) -> list[Golden]:
    """Run the engine over the instances of golden rows."""
    refs = [instance_of(row, data_root) for row in rows]
    pairing = Pairing(method, "golden", simulator, "golden")
    settings = Settings(clicks=clicks, batch_size=batch_size)
    traces = {(t.dataset, t.instance): t for t in Engine(pairing, settings).run(refs)}
    return [
        _golden(traces[ref.dataset, ref.name], row) for ref, row in zip(refs, rows, strict=True)
    ]


def instance_of(row: dict, data_root: Path) -> InstanceRef:
    """The instance that a golden row is about."""
    dataset = datasets.build(row["dataset"].lower(), data_root=data_root)
    return next(ref for ref in dataset.instances() if ref.name == row["name"])


def _golden(trace: Trace, row: dict) -> Golden:
    assert trace.status == "ok", trace.error
    count = len(trace.steps)
    return Golden(
        f"{row['dataset']} {row['name']}",
        [[int(s.click.y), int(s.click.x), s.click.kind == "positive"] for s in trace.steps],
        row["clicks"][:count],
        np.array([step.iou for step in trace.steps]),
        np.array(row["iou"][:count]),
        np.array(row["near_threshold_pixels"][:count]),
    )
