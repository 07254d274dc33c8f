"""A method against a baseline: pairing, counting, and what may not be compared."""

import doctest
import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.report.results.runs import load_results
from isegbench.harness.report.tables import comparison as module
from isegbench.harness.report.tables.comparison import comparison, comparison_tables
from isegbench.harness.report.tables.markdown import markdown_table


def test_docstring_examples_run() -> None:
    result = doctest.testmod(module)
    assert (result.failed, result.attempted) == (0, 1)


def test_a_row_by_hand(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.95], "m", instance="a"),
            trace([0.1, 0.95], "base", instance="a"),
            trace([0.1, 0.2, 0.95], "m", instance="b"),
            trace([0.95], "base", instance="b"),
            trace([0.1, 0.1], "m", instance="c"),
            trace([0.1, 0.1], "base", instance="c"),
            trace([0.95], "m", instance="d"),
            trace([0.1], "base", instance="d"),
            trace([0.95], "m", instance="alone"),
            trace([0.95], "base", instance="alone", status="data-failed"),
        ]
    )
    frame = comparison(load_results(run), "base", ["NoC@90", "NoF@90", "mIoU@1"])
    noc, nof, miou = frame.to_dict("records")
    assert (noc["method"], noc["baseline"], noc["instances"]) == ("m", "base", 4)
    assert (noc["value"], noc["baseline_value"]) == (2.5, 3.25)
    assert noc["difference"] == -0.75
    assert (noc["wins"], noc["ties"], noc["losses"]) == (2, 1, 1)
    # Differences -1, 2, 0, -4: of the 8 flips of three, those at least 3 from 0 have no more than
    # one small value against the 4: 1+2+4, 2+4-1, 4+1-2, and their opposites.
    assert noc["p_value"] == 6 / 8
    assert -4 <= noc["low"] <= -0.75 <= noc["high"] <= 2
    assert (nof["value"], nof["baseline_value"], nof["difference"]) == (1, 2, -1)
    assert (nof["wins"], nof["ties"], nof["losses"]) == (1, 3, 0)
    assert miou["difference"] == pytest.approx((0.95 + 0.1 + 0.1 + 0.95 - 1.25) / 4)
    assert miou["wins"] == 2


def test_seeds_that_both_have_are_averaged(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.2], "m", seed=0),
            trace([0.6], "m", seed=1),
            trace([1.0], "m", seed=2),
            trace([0.1], "base", seed=0),
            trace([0.2], "base", seed=1),
        ],
        seeds=3,
    )
    (row,) = comparison(load_results(run), "base", ["mIoU@5"]).to_dict("records")
    assert (row["instances"], row["wins"]) == (1, 1)
    assert row["difference"] == pytest.approx(0.4 - 0.15)
    assert math.isnan(row["low"]), "one image says nothing about others"


def test_images_are_drawn_whole(write_run: Callable, trace: Callable) -> None:
    """Ten images of ten alike instances: as sure as ten instances, not as a hundred."""
    levels = np.random.default_rng(0).uniform(0.3, 0.9, 10)
    traces = [
        trace([value], method, instance=f"{image}-{i}")
        for image, level in enumerate(levels)
        for i in range(10)
        for method, value in (("m", level), ("base", 0.5))
    ]
    run = write_run(traces)
    alone = comparison(load_results(run), "base", ["mIoU@1"]).iloc[0]
    names = sorted({t.instance for t in traces})
    images = [name.split("-")[0] for name in names]
    frame = pd.DataFrame({"dataset": "grabcut", "instance": names, "image": images})
    frame.to_parquet(run / "instances.parquet")
    together = comparison(load_results(run), "base", ["mIoU@1"]).iloc[0]
    assert together["difference"] == alone["difference"]
    assert together["high"] - together["low"] > 2 * (alone["high"] - alone["low"])
    assert together["p_value"] > alone["p_value"]


def test_what_cannot_be_compared_is_refused(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.9], "m"), trace([0.8], "base")], stop_at=0.85)
    results = load_results(run)
    with pytest.raises(UserError, match="no method 'bse' here: did you mean 'base'"):
        comparison(results, "bse")
    with pytest.raises(UserError, match="NoC@90 is not defined: the traces stopped at IoU 0.85"):
        comparison(results, "base")
    with pytest.raises(UserError, match="unknown metric"):
        comparison(results, "base", ["speed"])
    assert len(comparison(results, "base", ["NoC@85"])) == 1
    alone = write_run([trace([0.9], "m")], "alone")
    with pytest.raises(UserError, match="m is the only method"):
        comparison(load_results(alone), "m")
    plain = write_run([trace([0.9], "m"), trace([0.8], "base")], "plain")
    with pytest.raises(UserError, match="run with --boundary-iou"):
        comparison(load_results(plain), "base", ["mBIoU@3"])


def test_its_table_is_readable(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [trace([v], m, instance=n) for m, v in (("m|1", 0.9), ("base", 0.8)) for n in ("a", "b")]
    )
    (table,) = comparison_tables(comparison(load_results(run), "base", ["mIoU@1"]))
    assert [cell.text for cell in table.rows[0].cells] == [
        *("m|1", "90.0", "80.0", "+10.0", "+10.0 to +10.0", "0.500", "2", "0", "0", "2")
    ]
    assert r"| m\|1 | 90.0 | 80.0 |" in markdown_table(table)
