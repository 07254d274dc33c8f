"""Labelling: turn boxes into masks with the engine, executors and run directory of `run`."""

import inspect
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from ... import registry
from ...errors import UserError
from ...executors.executor import Watch
from ...files import write_whole
from ...planning.config import make_config
from ...planning.outline import outlines
from ...planning.plan import MethodPlan, Plan, make_plan
from ...registry import Spec
from ...simulators.openings import OPENINGS
from ...store import environment
from ...store.manifest import now, read_manifest
from ...store.traces import read_traces
from ..benchmark import OnStart, OnTrace, carry_out
from .box_dataset import BoxDataset
from .coco_file import write_labels

#: Enough clicks for every opening, so that another opening is refused for itself.
_CLICKS = max(len(kinds) for kinds in OPENINGS.values())
#: The file in the run directory that records the boxes it belongs to.
_BOXES = "boxes.json"


@dataclass(frozen=True)
class Labelled:
    """The outcome of labelling. out: the COCO file. parts: the run directory beside it.

    boxes: the number of boxes. masks: the number of boxes with a mask, `empty` of them without a
    pixel. crowds: the number of crowd annotations, which are left out. failed: {status: boxes};
    reasons: (instance, error) of each failed box.
    """

    out: Path
    parts: Path
    boxes: int
    masks: int
    empty: int
    crowds: int
    failed: dict[str, int]
    reasons: list[tuple[str, str]]


def label(
    boxes: Path,
    images: Path,
    method: Any,
    out: Path,
    on_start: OnStart | None = None,
    on_trace: OnTrace | None = None,
    watch: Watch | None = None,
    **options: Any,
) -> Labelled:
    """Turn the boxes of a file into masks, written to `out` as COCO JSON.

    boxes, images: see `isegbench.datasets.boxes.Boxes`. method: one that opens with a box, as for
    a run. options: executor, workers, gpus_per_worker, ray_address, batch_size, limit,
    time_limit and retry_failures of `planning.config.RunConfig`. on_start, on_trace, watch: as for
    `workflows.benchmark.execute`.

    Finished masks are kept in OUT.parts, a run directory; the same call again resumes it. `out`
    is written at the end, whole. A bad box fails alone. Raises UserError when the boxes or the
    method cannot be used, or OUT.parts belongs to other boxes or settings.
    """
    parts = out.with_name(f"{out.name}.parts")
    dataset: BoxDataset = registry.datasets.build(
        Spec("boxes", None, {"path": boxes, "images": images})
    )
    simulator = "given-box"
    config = make_config(
        {
            **options,
            "methods": [method],
            "datasets": [dataset],
            "simulator": simulator,
            "clicks": _CLICKS,
            "save_masks": True,
            "stop_failing_after": 0,
        }
    )
    plan = make_plan(config)
    (planned,) = plan.methods
    _refuse_other_openings(planned)
    digest = dataset.digest()
    _refuse_other_boxes(parts, digest, boxes)
    carry_out(plan, parts, config, on_start, on_trace, watch=watch)
    return _write(out, parts, plan, dataset, {"file": Path(boxes).name, "sha256": digest})


def box_methods() -> list[str]:
    """The registered methods that open with a box, in the form of the command line."""
    found = []
    for name, factory in outlines(registry.methods):
        opening = inspect.signature(factory, eval_str=True).parameters.get("opening")
        if opening is None:
            found += [name] if getattr(factory, "opening", None) == "box" else []
        elif opening.default == "box":
            found.append(name)
        elif get_origin(opening.annotation) is Literal and "box" in get_args(opening.annotation):
            found.append(f"{name}:opening=box")
    return found


def _refuse_other_openings(method: MethodPlan) -> None:
    if method.entry.opening != "box":
        raise UserError(
            f"method {method.name} opens with {method.entry.opening}, but there are only "
            f"boxes. These methods open with a box: {', '.join(box_methods())}"
        )


def _refuse_other_boxes(parts: Path, digest: str, boxes: Path) -> None:
    """Record the boxes of a run directory, or raise UserError when it has other boxes."""
    path = parts / _BOXES
    try:
        recorded = json.loads(path.read_text(encoding="utf-8"))["sha256"]
    except FileNotFoundError:
        write_whole(path, json.dumps({"file": str(boxes), "sha256": digest}) + "\n")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read: {error}; choose another --out") from error
    if recorded != digest:
        raise UserError(
            f"{parts} has masks of other boxes than {boxes}: choose another --out, or delete that "
            "folder to start again"
        )


def _write(
    out: Path, parts: Path, plan: Plan, dataset: BoxDataset, source: dict[str, Any]
) -> Labelled:
    """Write the finished masks, and count them and the failures."""
    (method,), (boxes,) = plan.methods, plan.datasets
    wanted = {ref.name for ref in boxes.refs}
    failures = _failures(parts, method.name, wanted)
    failed = dict(Counter(failures.values()))
    source = {**source, "boxes": len(wanted), "failed": len(failures), "crowds": dataset.crowds}
    info = {"description": "masks from boxes, by isegbench", "date_created": now()}
    info |= {"isegbench": environment.package_version(), "commit": environment.commit()}
    info |= {
        "method": method.entry.model_dump(exclude={"departures", "identity"}),
        "source": source,
    }
    info["versions"] = read_manifest(parts).invocations[-1].versions
    succeeded = wanted - failures.keys()
    masks, empty = write_labels(out, dataset, parts, method.name, succeeded, info)
    reasons = _reasons(parts, method.name, set(failures)) if failures else []
    return Labelled(out, parts, len(wanted), masks, empty, dataset.crowds, failed, reasons)


def _failures(parts: Path, method: str, wanted: set[str]) -> dict[str, str]:
    """{instance: status} of the failed instances."""
    frame = read_traces(parts, categorical=True)
    bad = frame[(frame["status"] != "ok") & (frame["method"] == method)]
    pairs = zip(bad["instance"].astype(str), bad["status"].astype(str), strict=True)
    return {instance: status for instance, status in pairs if instance in wanted}


def _reasons(parts: Path, method: str, failed: set[str]) -> list[tuple[str, str]]:
    """(instance, error) of the failed instances, the newest error of each, in their order."""
    found: dict[str, str] = {}
    with open(parts / "failures.jsonl", encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:  # half a line: the process was killed
                continue
            if record["method"] == method and record["instance"] in failed:
                found[record["instance"]] = record["error"]
    return list(found.items())
