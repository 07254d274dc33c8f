"""Scoring a network while it is trained: a benchmark like any other, through the harness."""

from pathlib import Path
from typing import Any

from ....harness.metrics.scores import iou_curves, miou
from ....harness.planning.config import make_config
from ....harness.store.traces import to_frame, to_table
from ....harness.workflows.benchmark import compute
from .config import IOGTraining

#: Sessions a prediction.
_BATCH = 8


def validate(weights: Path, config: IOGTraining) -> dict[str, float]:
    """{"mIoU@3 DATASET": value in [0, 1]} on each data set of `validate_on`.

    weights: the file that the training has just written. The network without an inside point is
    scored as the first stage of iog-box alone: mIoU@2. Raises UserError as a benchmark does.
    """
    method: dict[str, Any] = {"name": config.network, "weights": str(weights)}
    if config.network == "outside":
        method = {"name": "iog-box", "outside": str(weights), "stages": 1}
    method["device"] = config.device
    clicks = 2 if config.network == "outside" else 3
    options = {"clicks": clicks, "batch_size": _BATCH, "data_root": config.data_root}
    request = {"methods": method, "datasets": config.validate_on, **options}
    _, _, traces = compute(make_config(request))
    frame = to_frame(to_table(traces))
    return {
        f"mIoU@{clicks} {name}": miou(iou_curves(part, clicks).ious, clicks)
        for name, part in frame.groupby("dataset", observed=True, sort=False)
    }
