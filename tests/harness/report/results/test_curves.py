"""The figures of a report: the numbers in them, and the files they become."""

import doctest
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from isegbench.harness.metrics import scores
from isegbench.harness.report.figures import figures
from isegbench.harness.report.figures.styles import styles
from isegbench.harness.report.figures.write_figures import (
    figure_lines,
    speed_points,
    write_figures,
)
from isegbench.harness.report.results import curves
from isegbench.harness.report.results.leaderboard import leaderboard
from isegbench.harness.report.results.runs import load_results
from isegbench.harness.report.write import write_report
from isegbench.harness.store.manifest import MethodEntry

ODD = r"my.py:A|b*c_<i>:k=$1&2%#{\x}~^[red]"


@pytest.fixture
def run(write_run: Callable, trace: Callable) -> Path:
    """Six methods on two data sets: openings of three clicks, bounds, failures."""
    traces = []
    for dataset in ("grabcut", "sbd[0:2]"):
        for name in ("a", "b"):
            traces += [
                trace([0.5, 0.86, 0.95], "good", dataset, name),
                trace([None, None, 0.7, 0.8], ODD, dataset, name),
                trace([1.0], "oracle", dataset, name),
                trace([0.3, 0.4, 0.5, 0.6, 0.7], "weak", dataset, name),
            ]
    traces.append(trace([0.99], "lucky", "grabcut", "a"))
    traces.append(trace([0.2, None], "broken", "grabcut", "a", status="method-failed"))
    traces.append(trace([], "broken", "grabcut", "b", status="data-failed"))
    return write_run(traces, methods={"oracle": {"sees_truth": True}}, clicks=20)


def some_curves(ious: list[list[float]], trace: Callable, clicks: int) -> scores.IoUCurves:

    from isegbench.harness.store.traces import to_frame, to_table

    frame = to_frame(to_table(trace(row, instance=str(n)) for n, row in enumerate(ious)))
    assert isinstance(frame, pd.DataFrame)
    return scores.iou_curves(frame, clicks)


def test_mean_curves_are_the_mean_of_what_counts(run: Path) -> None:
    results = load_results(run)
    means = curves.line_curves(scores.iou_curves(results.traces, 20), 0.9).means
    lines = {key: part for key, part in means.groupby(["method", "dataset"])}
    odd = lines[ODD, "grabcut"]
    assert odd["click"].tolist() == list(range(3, 21))
    assert odd["mean_iou"].tolist() == pytest.approx([0.7] + [0.8] * 17)
    good = lines["good", "grabcut"]
    assert good["mean_iou"].tolist() == pytest.approx([0.5, 0.86] + [0.95] * 18)
    broken = lines["broken", "grabcut"]
    assert broken["mean_iou"].tolist() == pytest.approx([0.2] + [0.0] * 19)
    assert broken["traces"].unique().tolist() == [1]
    frame = leaderboard(run).set_index(["method", "dataset"])
    for key, line in lines.items():
        at_20 = line.set_index("click")["mean_iou"][20]
        assert at_20 == frame.loc[key, "mIoU@20"]


def test_the_figure_draws_those_numbers(run: Path) -> None:
    results = load_results(run)
    means = curves.line_curves(scores.iou_curves(results.traces, 20), 0.9).means
    style = styles(results.methods)
    figure = figures.curves_figure(means, ["grabcut", "sbd[0:2]"], style, 20)
    panels = [panel for panel in figure.axes if panel.get_visible()]
    assert [panel.get_title() for panel in panels] == ["grabcut", "sbd[0:2]"]
    drawn = {line.get_color(): line for line in panels[0].get_lines() if np.size(line.get_xdata())}
    good = drawn[style["good"].colour]
    np.testing.assert_allclose(np.asarray(good.get_xdata()), range(1, 21))
    np.testing.assert_allclose(np.asarray(good.get_ydata()), [50, 86] + [95] * 18)
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "good"
    assert len(legend.get_texts()) == 6


def test_every_method_has_a_look_of_its_own() -> None:
    names = [f"m{i}" for i in range(40)]
    style = styles(dict.fromkeys(names, MethodEntry(spec="m", opening="click", threshold=0.5)))
    assert len({(one.colour, one.marker) for one in style.values()}) == 40
    first = [style[name] for name in names[:7]]
    assert len({one.marker for one in first}) == len({one.colour for one in first}) == 7


@pytest.mark.slow
def test_curves_are_files_that_open(run: Path) -> None:
    folder = write_report([run], ["md"]).folder
    for stem in ("curves", "curves-grabcut", "curves-sbd-0-2", "success", "noc", "speed"):
        image = cv2.imread(str(folder / f"{stem}.png"))
        assert image is not None
        assert min(image.shape[:2]) > 400
        root = ElementTree.parse(folder / f"{stem}.svg").getroot()
        assert root.tag.endswith("svg")
        assert (folder / f"{stem}.pdf").read_bytes().startswith(b"%PDF-")
    assert not list(folder.glob(".*"))


def test_success_and_distribution_agree_with_noc(run: Path) -> None:
    results = load_results(run)
    of = scores.iou_curves(results.traces, 20)
    shares = curves.line_curves(of, 0.85).shares
    good = shares[(shares["method"] == "good") & (shares["dataset"] == "grabcut")]
    assert good["share"].tolist() == [0.0, *[1.0] * 19]
    broken = shares[(shares["method"] == "broken")]
    assert broken["share"].tolist() == [0.0] * 20
    counts = curves.noc_distribution(of, 0.85)
    for key, part in counts.groupby(["dataset", "method"]):
        assert isinstance(key, tuple)
        assert part["count"].sum() == part["traces"].iloc[0], key
        never = part.loc[part["click"] == 0, "count"].item()
        line = pd.DataFrame(shares[(shares["dataset"] == key[0]) & (shares["method"] == key[1])])
        assert never == round((1 - line["share"].iloc[-1]) * part["traces"].iloc[0])
        np.testing.assert_allclose(
            part.loc[part["click"] > 0, "count"].cumsum(), line["share"] * part["traces"].iloc[0]
        )


def test_a_success_is_kept_when_a_later_click_spoils_it(trace: Callable) -> None:
    of = some_curves([[0.5, 0.95, 0.3], [0.2, 0.3, 0.4]], trace, 4)
    assert curves.line_curves(of, 0.9).shares["share"].tolist() == [0.0, 0.5, 0.5, 0.5]
    counts = curves.noc_distribution(of, 0.9).set_index("click")["count"]
    assert counts.to_dict() == {0: 1, 1: 0, 2: 1, 3: 0, 4: 0}


def test_bands_are_asked_for_each_line_and_drawn(run: Path) -> None:
    results = load_results(run)
    of = scores.iou_curves(results.traces, 20)
    asked = []

    def bands(ious: np.ndarray, rows):
        asked.append((rows["method"].iloc[0], ious.shape))
        return ious.min(axis=0) - 0.1, ious.max(axis=0) + 0.1

    means = curves.line_curves(of, 0.9, bands).means
    assert ("good", (2, 41)) in asked
    good = means[(means["method"] == "good") & (means["dataset"] == "grabcut")]
    np.testing.assert_allclose(good["low"], good["mean_iou"] - 0.1)
    figure = figures.curves_figure(means, ["grabcut"], styles(results.methods), 20)
    assert len(figure.axes[0].collections) == 6
    figure = figures.curves_figure(
        curves.line_curves(of, 0.9).means, ["grabcut"], styles(results.methods), 20
    )
    assert not figure.axes[0].collections


def test_speed_is_noc_against_the_time_of_predictions(run: Path) -> None:
    results = load_results(run)
    lines = figure_lines(results, scores.iou_curves(results.traces, 20))
    points = lines.points.set_index(["dataset", "method"])
    frame = leaderboard(run).set_index(["dataset", "method"])
    assert "oracle" not in points.index.get_level_values("method")
    assert len(points) == 8
    assert points["noc"].to_dict() == pytest.approx(frame.loc[points.index, "NoC@90"].to_dict())
    assert points["seconds"].tolist() == pytest.approx([0.1] * 8)


def test_a_run_stopped_early_has_no_figures(
    write_run: Callable, trace: Callable, tmp_path: Path
) -> None:
    for stop_at, expected in ((0.8, set()), (0.9, {"success", "noc", "speed"})):
        results = load_results(write_run([trace([0.95])], f"at{stop_at}", stop_at=stop_at))
        of = scores.iou_curves(results.traces, 5)
        folder = tmp_path / f"figures{stop_at}"
        assert write_figures(folder, results, figure_lines(results, of)) == {}
        assert {path.stem for path in folder.glob("*")} == expected


def test_many_methods_stay_inside_the_figure(trace: Callable) -> None:
    names = [f"method{n}:weights=a_long_name_of_weights_{n},mode=X" for n in range(14)]
    entry = MethodEntry(spec="m", opening="click", threshold=0.5)
    from isegbench.harness.store.traces import to_frame, to_table

    frame = to_frame(to_table(trace([0.5, 0.9], name) for name in names))
    means = curves.line_curves(scores.iou_curves(frame, 20), 0.9).means
    figure = figures.curves_figure(means, ["grabcut"], styles(dict.fromkeys(names, entry)), 20)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    box, whole = legend.get_window_extent(), figure.bbox
    assert box.x0 >= 0
    assert box.x1 <= whole.x1
    assert box.y1 <= figure.axes[0].get_window_extent().y0


def test_examples_in_docstrings() -> None:
    result = doctest.testmod(figures)
    assert result.failed == 0
    assert result.attempted > 0


def test_speed_is_spc_where_a_timing_pass_covers_all(run: Path) -> None:
    results = load_results(run)
    noc = curves.line_curves(scores.iou_curves(results.traces, 20), 0.9).noc
    every = [
        {"method": method, "dataset": dataset, "seconds": seconds}
        for dataset in results.datasets
        for seconds, method in enumerate(["good", ODD, "weak", "lucky", "broken"], start=2)
    ]
    points, time = speed_points(replace(results, timing=pd.DataFrame(every)), noc)
    assert time.startswith("SPC")
    told = points.set_index(["dataset", "method"])["seconds"].to_dict()
    assert told["grabcut", "good"] == 2
    assert told["sbd[0:2]", "weak"] == 4
    some = pd.DataFrame(every[:-3])
    points, time = speed_points(replace(results, timing=some), noc)
    assert time == "seconds per prediction, in the run"
    assert set(points["seconds"].round(6)) == {0.1}
