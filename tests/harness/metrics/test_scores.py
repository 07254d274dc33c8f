"""Metrics against brute force, one trace and one click at a time."""

import doctest
import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.errors import UserError
from isegbench.harness.metrics import scores
from isegbench.harness.store.traces import to_table
from isegbench.harness.types import METHOD_FAILURES, Click, Step, Trace

STATUSES = ["ok", "ok", "ok", "method-failed", "timed-out", "worker-died", "data-failed"]
SCORES = st.sampled_from([0.0, 0.3, 0.5, 0.84999, 0.85, 0.9, 0.95, 1.0])


def test_docstring_examples_run() -> None:
    result = doctest.testmod(scores)
    assert result.failed == 0
    assert result.attempted >= 6


@st.composite
def trace_lists(draw: st.DrawFn) -> tuple[int, list[Trace]]:
    """A budget, and traces as an engine could leave them: opening, steps, some broken."""
    budget = draw(st.integers(1, 6))
    opening = draw(st.integers(1, min(3, budget)))
    traces = []
    for number in range(draw(st.integers(1, 6))):
        status = draw(st.sampled_from(STATUSES))
        ious: list[float | None] = [None] * (opening - 1)
        ious += draw(st.lists(SCORES, min_size=1, max_size=budget - opening + 1))
        if status != "ok":
            ious = ious[: draw(st.integers(0, len(ious)))]
            if ious and draw(st.booleans()):
                ious[-1] = None
        steps = tuple(Step(Click(0, 0, "positive"), value) for value in ious)
        traces.append(Trace("m", "d", "s", 0, f"i{number}", steps, status))  # type: ignore
    return budget, traces


def brute_row(trace: Trace, budget: int) -> list[float]:
    """The definition, spelt out: IoU after each click of the budget."""
    row = []
    last = math.nan
    failed_at = max(len(trace.steps), 1) if trace.status in METHOD_FAILURES else None
    for click in range(1, budget + 1):
        if failed_at is not None and click >= failed_at:
            last = 0.0
        elif click <= len(trace.steps):
            value = trace.steps[click - 1].iou
            last = last if value is None else value
        row.append(last)
    return row


def brute_noc(trace: Trace, budget: int, target: float) -> int:
    for click, step in enumerate(trace.steps, start=1):
        if trace.status in METHOD_FAILURES and click == len(trace.steps):
            break
        if step.iou is not None and step.iou >= target:
            return click
    return budget


@given(trace_lists())
@settings(max_examples=150, deadline=None)
def test_curves_and_numbers_are_those_of_a_loop(case: tuple[int, list[Trace]]) -> None:
    budget, traces = case
    frame = to_table(traces).to_pandas()
    curves = scores.iou_curves(frame.sample(frac=1, random_state=0), budget)

    assert curves.traces["instance"].tolist() == [t.instance for t in traces]
    assert curves.traces["status"].tolist() == [t.status for t in traces]
    np.testing.assert_array_equal(curves.ious, [brute_row(t, budget) for t in traces])

    counted = [t for t in traces if t.status == "ok" or t.status in METHOD_FAILURES]
    assert curves.scored.tolist() == [t in counted for t in traces]
    ious = curves.ious[curves.scored]
    for target in (0.5, 0.85, 0.9):
        clicks = [brute_noc(t, budget, target) for t in counted]
        reached = [
            any(
                s.iou is not None and s.iou >= target
                for s in (t.steps if t.status == "ok" else t.steps[:-1])
            )
            for t in counted
        ]
        expected = sum(clicks) / len(clicks) if clicks else math.nan
        assert scores.noc(ious, target) == pytest.approx(expected, nan_ok=True)
        assert scores.nof(ious, target) == reached.count(False)
    for k in range(1, budget + 1):
        column = [brute_row(t, budget)[k - 1] for t in counted]
        expected = sum(column) / len(column) if column else math.nan
        assert scores.miou(ious, k) == pytest.approx(expected, nan_ok=True)


def test_an_opening_counts_all_its_clicks() -> None:
    ious = np.array([[np.nan, np.nan, 0.95, 0.96]])
    assert scores.noc(ious, 0.9) == 3
    assert math.isnan(scores.miou(ious, 2))
    assert scores.miou(ious, 3) == 0.95


def test_success_at_the_last_click_is_a_success() -> None:
    ious = np.array([[0.1, 0.2, 0.9], [0.1, 0.2, 0.3]])
    assert scores.noc(ious, 0.9) == 3
    assert scores.nof(ious, 0.9) == 1


def test_a_target_reached_and_lost_stays_reached() -> None:
    assert scores.clicks_to_reach(np.array([[0.2, 0.91, 0.5]]), 0.9).tolist() == [2]


def test_mean_iou_is_not_defined_beyond_the_budget_or_without_traces() -> None:
    assert math.isnan(scores.miou(np.ones((2, 3)), 4))
    assert math.isnan(scores.miou(np.ones((0, 3)), 1))
    assert math.isnan(scores.noc(np.ones((0, 3)), 0.5))


def test_clicks_beyond_the_budget_do_not_count() -> None:
    steps = tuple(Step(Click(0, 0, "positive"), v) for v in (0.1, 0.2, 0.95))
    frame = to_table([Trace("m", "d", "s", 0, "a", steps)]).to_pandas()
    assert scores.nof(scores.iou_curves(frame, 2).ious, 0.9) == 1


def test_no_traces_give_no_curves() -> None:
    curves = scores.iou_curves(to_table([]).to_pandas(), 20)
    assert curves.ious.shape == (0, 20)
    assert len(curves.traces) == 0


def brute_auc(row: list[float]) -> float:
    """Trapezoids one by one; no mask before the first prediction."""
    heights = [0.0 if math.isnan(value) else value for value in row]
    if len(heights) == 1:
        return heights[0]
    areas = [(a + b) / 2 for a, b in itertools.pairwise(heights)]
    return sum(areas) / (len(heights) - 1)


@given(trace_lists())
@settings(max_examples=60, deadline=None)
def test_every_metric_is_the_mean_of_its_traces(case: tuple[int, list[Trace]]) -> None:
    budget, traces = case
    curves = scores.iou_curves(to_table(traces).to_pandas(), budget)
    ious = curves.ious[curves.scored]
    counted = [t for t in traces if t.status == "ok" or t.status in METHOD_FAILURES]
    expected = [brute_auc(brute_row(t, budget)) for t in counted]
    np.testing.assert_allclose(scores.trace_values(ious, "AuC"), expected)
    if not counted:
        assert math.isnan(scores.auc(ious))
        return
    assert scores.auc(ious) == pytest.approx(sum(expected) / len(expected))
    assert scores.trace_values(ious, "NoC@85").mean() == pytest.approx(scores.noc(ious, 0.85))
    assert scores.trace_values(ious, "NoF@85").sum() == scores.nof(ious, 0.85)
    for k in (1, budget, budget + 1):
        mean = scores.trace_values(ious, f"mIoU@{k}").mean()
        assert mean == pytest.approx(scores.miou(ious, k), nan_ok=True)


def test_metric_names_are_checked() -> None:
    for name in ("NoC", "NoC@", "NoC@101", "NoC@9.5", "IoU@3", "auc", "AuC@3", "", "NoC@90\n"):
        with pytest.raises(UserError, match="unknown metric"):
            scores.parse_metric(name)
    assert scores.parse_metric("mBIoU@12") == ("mBIoU", 12)


def brute_boundary(mask: np.ndarray, truth: np.ndarray, reach: int) -> np.ndarray:
    """Pixel by pixel: valid, in the mask, and something outside it close by."""
    height, width = mask.shape
    found = np.zeros(mask.shape, bool)
    for y, x in np.ndindex(height, width):
        if truth[y, x] == 255 or not mask[y, x]:
            continue
        for near_y in range(y - reach, y + reach + 1):
            for near_x in range(x - reach, x + reach + 1):
                beyond = not (0 <= near_y < height and 0 <= near_x < width)
                found[y, x] |= beyond or (truth[near_y, near_x] != 255 and not mask[near_y, near_x])
    return found


@given(
    st.integers(4, 14), st.integers(4, 14), st.sampled_from([0.02, 0.1, 0.2]), st.integers(0, 9999)
)
@settings(max_examples=60, deadline=None)
def test_boundary_iou_is_that_of_a_loop(height: int, width: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.choice([0, 1, 255], (height, width), p=[0.3, 0.55, 0.15]).astype(np.uint8)
    truth = np.repeat(np.repeat(truth, 2, 0), 2, 1)
    mask = np.repeat(np.repeat(rng.random((height, width)) < 0.8, 2, 0), 2, 1)
    reach = max(1, round(share * math.hypot(2 * height, 2 * width)))
    target, predicted = (brute_boundary(m, truth, reach) for m in (truth == 1, mask))
    union = (target | predicted).sum()
    expected = (target & predicted).sum() / union if union else 1.0
    assert scores.boundary_iou(mask, truth, share) == pytest.approx(expected)


def test_boundary_iou_does_not_look_at_ignored_pixels() -> None:
    truth = np.zeros((80, 90), np.uint8)
    truth[20:60, 20:60] = 255
    truth[26:54, 26:54] = 1
    mask = np.zeros(truth.shape, bool)
    mask[23:57, 23:57] = True
    rng = np.random.default_rng(0)
    noisy = np.where(truth == 255, rng.random(truth.shape) < 0.5, mask)
    # Right wherever it counts, whatever it draws where nobody knows.
    assert scores.boundary_iou(mask, truth) == scores.boundary_iou(noisy, truth) == 1.0
    assert scores.boundary_iou(np.zeros_like(mask), np.zeros_like(truth)) == 1.0
    wide = mask.copy()
    wide[15:65, 15:65] = True
    assert scores.boundary_iou(wide, truth) == 0.0


def test_boundary_iou_of_a_square_by_hand() -> None:
    """A square of 60 against itself moved by 2: rings of 3 pixels, as 2% of 141 pixels are."""
    truth, mask = np.zeros((100, 100), np.uint8), np.zeros((100, 100), bool)
    truth[20:80, 20:80], mask[20:80, 22:82] = 1, True
    ring = 60 * 60 - 54 * 54
    # Top and bottom share 3 x 58 each. Of the sides, columns 22 and 79 of three belong to both
    # rings' sides on 54 rows; columns 77 and 78, 23 and 24 to only one ring.
    both = 2 * 3 * 58 + 54 * 2
    assert scores.boundary_iou(mask, truth) == both / (2 * ring - both)


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UserError, match="column status"):
        scores.iou_curves(to_table([]).to_pandas().drop(columns="status"), 20)
    with pytest.raises(UserError, match="at least 1"):
        scores.iou_curves(to_table([]).to_pandas(), 0)


def big_frame(instances: int, methods: int, clicks: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    names = np.repeat([f"2008_{i:06d}#1" for i in range(instances)], clicks)
    columns: dict[str, Any] = {"dataset": "sbd", "simulator": "largest-error", "seed": 0}
    columns |= {"instance": names, "click": np.tile(np.arange(1, clicks + 1), instances)}
    parts = [
        pd.DataFrame(
            {"method": f"m{i}"} | columns | {"iou": rng.random(len(names)), "status": "ok"}
        )
        for i in range(methods)
    ]
    return pd.concat(parts, ignore_index=True)


def test_a_million_rows() -> None:
    frame = big_frame(7000, 10, 20)
    curves = scores.iou_curves(frame, 20)
    assert curves.ious.shape == (70_000, 20)
    np.testing.assert_array_equal(curves.ious[:7000].ravel(), frame["iou"][: 7000 * 20])
