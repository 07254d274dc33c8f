"""Runs of any size, made up from formulas and written as trace files straight away."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from isegbench.harness.manifest import DatasetEntry, Invocation, Manifest, MethodEntry, Protocol
from isegbench.harness.store import SCHEMA


def made_up_run(
    directory: Path, methods: Sequence[str], datasets: dict[str, int], clicks: int = 20
) -> Path:
    """A run of methods that get better the later they are named, on so many instances each."""
    directory.joinpath("traces").mkdir(parents=True)
    frames = [
        _traces(name, quality, dataset, count, clicks)
        for dataset, count in datasets.items()
        for quality, name in enumerate(methods)
    ]
    frame = pd.concat(frames, ignore_index=True)
    table = pa.Table.from_pandas(frame, preserve_index=False).select(SCHEMA.names).cast(SCHEMA)
    pq.write_table(table, directory / "traces" / "00000000000000000001-made.parquet")
    manifest = Manifest(
        isegbench="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        protocol=Protocol(simulator="largest-error", clicks=clicks),
        methods={name: MethodEntry(spec=name, opening="click", threshold=0.5) for name in methods},
        datasets={
            name: DatasetEntry(spec=name, instances=count, fingerprint="0", planned=count)
            for name, count in datasets.items()
        },
        invocations=[
            Invocation(
                started="2026-01-01T00:00:00+00:00",
                command="isegbench run ...",
                executor={"name": "inline"},
                versions={"numpy": "2.4"},
                hardware={"cpu": "made up"},
            )
        ],
    )
    directory.joinpath("manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    return directory


def _traces(method: str, quality: int, dataset: str, count: int, clicks: int) -> pd.DataFrame:
    chance = np.random.default_rng([quality, count])
    # The same instances are hard for every method.
    hard = np.random.default_rng(count).beta(2, 3, (count, 1))
    click = np.arange(1, clicks + 1)
    ious = 1 - (0.25 + 0.7 * hard) * click ** -(0.35 + 0.08 * quality)
    ious = np.clip(ious + 0.02 * chance.standard_normal((count, clicks)), 0, 0.999)
    names = np.array([f"{number:012d}#{number % 7}" for number in range(count)])
    # Some end before the budget does: nothing was left to correct.
    length = np.where(hard[:, 0] < 0.2, chance.integers(3, clicks + 1, count), clicks)
    keep = (click <= length[:, None]).ravel()
    rows = count * clicks
    return pd.DataFrame(
        {
            "method": method,
            "dataset": dataset,
            "simulator": "largest-error",
            "seed": 0,
            "instance": np.repeat(names, clicks),
            "click": np.tile(click, count),
            "y": chance.integers(0, 480, rows).astype(float),
            "x": chance.integers(0, 640, rows).astype(float),
            "kind": np.where(np.tile(click, count) % 3 == 2, "negative", "positive"),
            "iou": ious.ravel(),
            "predict_seconds": chance.gamma(4, 0.02 * 2**quality, rows),
            "step_seconds": 0.1,
            "status": "ok",
        }
    )[keep]
