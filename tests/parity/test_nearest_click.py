"""The whole loop against the recorded clicks of the released rule."""

import json

import pytest

from isegbench import harness


@pytest.mark.parametrize(
    "how",
    [{}, {"batch_size": 8}, {"executor": "ray", "workers": 2}],
    ids=["inline", "batch", "ray"],
)
def test_every_click_and_every_iou_on_grabcut(shared, how):
    golden = json.loads(shared("goldens", "nearest_click", "grabcut.json").read_text())
    frame = harness.run("nearest-click", "grabcut", data_root=shared("data"), **how)
    traces = dict(list(frame.groupby("instance")))
    assert len(traces) == len(golden) == 50
    for file, expected in golden.items():
        trace = traces[file.rpartition(".")[0]]
        clicks = [
            [y, x, int(kind == "positive")]
            for y, x, kind in zip(trace.y, trace.x, trace.kind, strict=True)
        ]
        assert clicks == expected["clicks"], file
        assert trace.iou.tolist() == pytest.approx(expected["iou"], abs=1e-6), file
