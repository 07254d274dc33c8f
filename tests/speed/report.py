"""How long a report on 7,000 instances x 10 methods takes, from stored traces alone.

`python tests/speed/report.py [--instances N] [--methods M] [--clicks K] [--keep DIR]` writes a
made-up run, then reads it, computes the leaderboard with intervals and writes its tables, each in
a fresh process with only what the command line would import. It prints seconds of the wall and of
the processor; on a busy machine the second is the one to compare. `--profile` adds where it goes.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from isegbench.harness.store.manifest import DatasetEntry, Manifest, MethodEntry, Protocol
from isegbench.harness.store.traces import SCHEMA

STAGES = """
import json, sys, time
def clock():
    return time.perf_counter(), time.process_time()
marks = [("start", clock())]
from pathlib import Path
from isegbench.harness.report.results.runs import load_run, merge
from isegbench.harness.report.results.leaderboard import leaderboard_of
from isegbench.harness.report.write import write_report
from isegbench.harness.metrics import scores
marks.append(("import", clock()))
run = load_run(Path(sys.argv[1]))  # from here on nothing is read
marks.append(("read", clock()))
results = merge([run])
curves = scores.iou_curves(results.traces, results.protocol.clicks)
marks.append(("curves", clock()))
leaderboard_of(results, curves=curves)
marks.append(("leaderboard", clock()))
write_report([run])
marks.append(("write_report, which computes both again", clock()))
loaded = sorted({"torch", "ray", "cv2", "PIL"} & set(sys.modules))
print(json.dumps({"marks": marks, "loaded": loaded}))
"""

ONE = """
import sys
from pathlib import Path
from isegbench.harness.report.write import write_report
write_report([Path(sys.argv[1])], sys.argv[2].split(","))
"""


def write_run(directory: Path, instances: int, methods: int, clicks: int) -> None:
    """A run whose traces end early or late, with 2.4 instances to an image, as SBD has."""
    rng = np.random.default_rng(0)
    names = [f"2008_{i:06d}#{i % 7}" for i in range(instances)]
    tables = []
    for method in range(methods):
        lengths = rng.integers(clicks // 2, clicks + 1, instances)
        rows = lengths.sum()
        first = np.repeat(np.cumsum(lengths) - lengths, lengths)
        click = np.arange(rows) - first + 1
        level = np.repeat(rng.beta(6, 2, instances), lengths)
        iou = np.clip(1 - (1 - level) / click ** (0.5 + method / 20), 0, 1)
        columns = {
            "method": np.full(rows, f"method-{method}:k=1"),
            "dataset": np.full(rows, "sbd"),
            "simulator": np.full(rows, "largest-error"),
            "seed": np.zeros(rows, np.int64),
            "instance": np.repeat(names, lengths),
            "click": click.astype(np.int32),
            "y": rng.uniform(0, 400, rows),
            "x": rng.uniform(0, 400, rows),
            "kind": np.where(rng.random(rows) < 0.5, "positive", "negative"),
            "iou": iou,
            "predict_seconds": rng.random(rows),
            "step_seconds": rng.random(rows),
            "status": np.full(rows, "ok"),
        }
        tables.append(pa.table(columns).cast(SCHEMA))
    (directory / "traces").mkdir(parents=True)
    # As a run leaves them: instances in the order they finished, in several files.
    table = pa.concat_tables(tables).unify_dictionaries()
    key = pd.factorize(table["instance"].to_pandas().astype(str))[0]
    order = rng.permutation(instances)[key]
    for part in range(4):
        chosen = np.flatnonzero(order % 4 == part)
        chosen = chosen[np.argsort(order[chosen], kind="stable")]
        pq.write_table(table.take(chosen), directory / "traces" / f"{part:020d}-x.parquet")
    images = [f"2008_{int(i / 2.4):06d}" for i in range(instances)]
    planned = pd.DataFrame({"dataset": "sbd", "instance": names, "image": images})
    planned.to_parquet(directory / "instances.parquet", index=False)
    manifest = Manifest(
        isegbench="0",
        created="2026-01-01T00:00:00+00:00",
        protocol=Protocol(simulator="largest-error", clicks=clicks),
        methods={
            f"method-{m}:k=1": MethodEntry(spec="m", opening="click", threshold=0.5)
            for m in range(methods)
        },
        datasets={
            "sbd": DatasetEntry(spec="sbd", instances=instances, fingerprint="f", planned=instances)
        },
    )
    (directory / "manifest.json").write_text(manifest.model_dump_json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instances", type=int, default=7000)
    parser.add_argument("--methods", type=int, default=10)
    parser.add_argument("--clicks", type=int, default=20)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--profile", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = given.keep or Path(temporary) / "run"
        if not (directory / "manifest.json").exists():
            write_run(directory, given.instances, given.methods, given.clicks)
        rows = sum(pq.read_metadata(p).num_rows for p in (directory / "traces").iterdir())
        print(f"{given.instances} instances x {given.methods} methods, {rows} rows")
        done = _python(STAGES, directory)
        found = json.loads(done.splitlines()[-1])
        for (_, before), (name, after) in zip(found["marks"], found["marks"][1:], strict=False):
            wall, processor = (b - a for a, b in zip(before, after, strict=True))
            print(f"{name:42} {wall:6.2f} s wall {processor:6.2f} s processor")
        print(f"imported on the way: {', '.join(found['loaded']) or 'none of torch, ray, cv2'}")
        for formats in ("csv", "html,md,csv,tex"):
            wall, processor = _timed(directory, formats)
            what = f"whole process, report to {formats}"
            print(f"{what:42} {wall:6.2f} s wall {processor:6.2f} s processor")
        if given.profile:
            print(_python(_PROFILED, directory))


_PROFILED = """
import cProfile, pstats, sys
from pathlib import Path
from isegbench.harness.report.write import write_report
profile = cProfile.Profile()
profile.runcall(write_report, [Path(sys.argv[1])])
pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
"""


def _python(code: str, *args: object) -> str:
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _timed(directory: Path, formats: str) -> tuple[float, float]:
    import resource
    import time

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    _python(ONE, directory, formats)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime


if __name__ == "__main__":
    main()
