"""What the speed table measures: methods with weights made by formula, on real images."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isegbench.harness.registry import datasets, methods
from isegbench.harness.types import InstanceRef

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
GOLDENS = ROOT / "tests" / "parity" / "goldens"


@dataclass(frozen=True)
class Subject:
    """A method of the table.

    model: whose formula weights it runs with, "" for none. clicks: the budget. instances: how many
    are measured. again: the released loop runs the whole network again at every click.
    """

    name: str
    spec: str
    model: str = ""
    clicks: int = 5
    instances: int = 8
    again: bool = False


SUBJECTS = (
    Subject("nearest-click", "nearest-click", clicks=20, instances=50),
    Subject("iog", "iog", "iog_r101", clicks=3),
    Subject("iog-refine", "iog-refine", "iog_refine_r101", clicks=20, instances=4, again=True),
    Subject("fbrs NoBRS", "fbrs:mode=NoBRS", "fbrs_resnet34_dh128"),
    Subject("fbrs f-BRS-B", "fbrs:mode=f-BRS-B", "fbrs_resnet34_dh128", clicks=3),
    Subject(
        "f-BRS-B, last",
        "fbrs:mode=f-BRS-B,channels_last=true",
        "fbrs_resnet34_dh128",
        clicks=3,
    ),
    Subject("ritm HRNet18s", "ritm", "ritm_hrnet18s"),
    Subject("dextr", "dextr", "dextr_r101", clicks=4),
)


def missing(subject: Subject) -> str | None:
    """Why a subject cannot be measured here, or None."""
    name = subject.spec.partition(":")[0]
    if name not in methods.names():
        return f"there is no method {name}"
    if subject.model and not (GOLDENS / subject.model / "manifest.json").exists():
        return f"needs tests/parity/goldens/{subject.model}, which is not here"
    return None


def write_weights(subject: Subject, folder: Path) -> Path | None:
    """Write the subject's formula weights as a checkpoint, once a model; its path."""
    if not subject.model:
        return None
    path = folder / f"{subject.model}.pth"
    if not path.exists():
        sys.path.insert(0, str(GOLDENS.parent))
        from golden_runs import write_checkpoint

        write_checkpoint(GOLDENS / subject.model, path)
    return path


def build(subject: Subject, weights: Path | None, device: str) -> Any:
    """The method."""
    if weights is None:
        return methods.build(subject.spec)
    colon = "," if ":" in subject.spec else ":"
    return methods.build(f"{subject.spec}{colon}weights={weights},device={device}")


def leave_networks_alone() -> None:
    """Have methods built from now on in this process run their networks as they were loaded."""
    from isegbench.methods.runtime.execution import Execution

    def as_loaded(self: Any, network: Any, *_: Any, **__: Any) -> Any:
        return network.to(self.device).eval().requires_grad_(False)

    Execution.ready = as_loaded


def instances(many: int, dataset: str | None = None) -> tuple[str, Sequence[InstanceRef]]:
    """(data set, references): DAVIS where ../shared/data has it, else the embedded samples."""
    name = dataset or ("davis" if (SHARED / "data" / "DAVIS").exists() else "samples")
    context = {} if name == "samples" else {"data_root": SHARED / "data"}
    refs = datasets.build(name, **context).instances()
    step = max(1, len(refs) // many)
    chosen = list(refs[::step][:many])
    return name, chosen
