"""One checkpoint gives the same traces with one worker, two workers, and in batches."""

import numpy as np
import pandas as pd
import pytest
from golden_runs import GOLDENS, write_checkpoint

import isegbench

#: Seven coins of one photograph: their first clicks share a batch.
COINS = "samples[15:22]"

SLOW = [
    ("fbrs", "fbrs_resnet34_dh128", ",mode=NoBRS"),
    ("fbrs", "fbrs_resnet34_dh128", ",mode=f-BRS-B"),
    ("fbrs", "fbrs_hrnet18_ocr64", ",mode=NoBRS"),
    ("fcfi", "fcfi_hrnet18s", ""),
    ("dextr", "dextr_r101", ""),
    ("forte", "forte_r50", ""),
    ("iog", "iog_r50", ",backbone=resnet50"),
    ("iog-refine", "iog_refine_r101", ""),
]


@pytest.fixture(scope="module")
def write(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")

    def checkpoint(model):
        path = folder / f"{model}.pth"
        return path if path.exists() else write_checkpoint(GOLDENS / model, path)

    return checkpoint


@pytest.mark.parametrize(
    ("system", "model", "options"),
    [
        ("ritm", "ritm_hrnet18s", ""),
        *(
            pytest.param(*case, marks=[pytest.mark.goldens, pytest.mark.timeout(3600)])
            for case in SLOW
        ),
    ],
)
def test_workers_and_batches_change_nothing(write, local_ray, system, model, options):
    method = {"name": f"{system}:weights={write(model)},device=cpu{options}", "label": model}

    def traces(**how):
        return isegbench.run([method], [COINS], clicks=4, **how).traces

    alone = traces()
    assert (alone.status == "ok").all()
    assert alone.iou.notna().any()
    two = traces(executor="ray", workers=2)
    batched = traces(batch_size=8)
    fragile = {}
    for how, other in (("on two workers", two), ("in batches", batched)):
        fragile[how] = [
            name
            for name, trace in alone.groupby("instance")
            if not _agree(trace, pd.DataFrame(other[other.instance == name]))
        ]
        print(f"{model}{options}: {len(fragile[how])} of 7 traces differ {how}: {fragile[how]}")
    if system == "forte":
        # Its guided filter turns the last bit of its input into the third digit of its output.
        assert len(fragile["on two workers"]) <= 3
    else:
        columns = ["instance", "click", "y", "x", "kind", "iou"]
        left, right = pd.DataFrame(alone[columns]), pd.DataFrame(two[columns])
        pd.testing.assert_frame_equal(left, right, check_exact=True)
    # Forte runs the sessions of a batch one by one, and still differs between two runs: see above.
    assert len(fragile["in batches"]) <= (3 if system == "forte" else 0)


def _agree(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    """Whether two traces have the same clicks and, to 1e-4, the same scores."""
    columns = ["y", "x", "kind"]
    if one[columns].values.tolist() != other[columns].values.tolist():
        return False
    return np.allclose(one.iou, other.iou, rtol=0, atol=1e-4, equal_nan=True)
