"""The report page as a file: what is packed into it, and what cannot get out of its place."""

import base64
import doctest
import json
import re
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from isegbench.harness.errors import UserError
from isegbench.harness.metrics import scores
from isegbench.harness.report.gallery.trace_picture import trace_picture_name
from isegbench.harness.report.page import page_data, page_pictures
from isegbench.harness.report.page.page_data import STATUSES, TARGETS, packed_traces
from isegbench.harness.report.results.runs import load_results
from isegbench.harness.report.write import write_report
from isegbench.harness.types import KINDS

HOSTILE = "</script><script>x</script><!-- \u2028 &amp; {{7*7}}"


def unpacked(run: Path, *more: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """The JSON of the packed traces, and the arrays after it by name."""
    results = load_results([run, *more])
    curves = scores.iou_curves(results.traces, results.protocol.clicks)
    value, block = packed_traces(results, curves)
    data = zlib.decompress(base64.b64decode(block))
    arrays, at = {}, 0
    for name, kind, length in value["sections"]:
        arrays[name] = np.frombuffer(data, f"<{kind}", length, at)
        at += arrays[name].nbytes
    assert at == len(data)
    return value, arrays


def test_every_trace_is_packed_where_it_belongs(write_run: Callable, trace: Callable) -> None:
    run = write_run(
        [
            trace([0.5, 0.856, 0.95], "b", "grabcut", "x"),
            trace([None, None, 0.7], "a", "grabcut", "x"),
            trace([0.2, None], "a", "grabcut", "y", status="timed-out"),
            trace([], "b", "berkeley", "x", status="data-failed"),
            trace([0.9], "a", "berkeley", "x"),
        ]
    )
    other = write_run([trace([0.1, 0.99], "c", "grabcut", "y")], "other", clicks=5, datasets={})
    manifest = json.loads((other / "manifest.json").read_text())
    first = json.loads((run / "manifest.json").read_text())
    manifest["datasets"]["grabcut"] = first["datasets"]["grabcut"]
    (other / "manifest.json").write_text(json.dumps(manifest))
    value, arrays = unpacked(run, other)
    rows = value["rows"]
    names = list(zip(rows["dataset"], rows["instance"], strict=True))
    assert names == [(0, "x"), (0, "y"), (1, "x")]
    methods = list(load_results([run, other]).methods)
    cells = len(names) * len(methods)
    status = arrays["status"].reshape(len(names), len(methods))
    noc = arrays["noc"].reshape(len(names), len(methods), len(TARGETS))
    iou = arrays["iou"].reshape(len(names), len(methods), 5)
    counts = arrays["clicks"]
    assert len(counts) == cells
    told = {
        (row, method): STATUSES[code - 1]
        for row, codes in enumerate(status)
        for method, code in zip(methods, codes, strict=True)
        if code
    }
    assert told == {
        (0, "a"): "ok",
        (0, "b"): "ok",
        (1, "a"): "timed-out",
        (1, "c"): "ok",
        (2, "a"): "ok",
        (2, "b"): "data-failed",
    }
    assert iou[0, methods.index("b")].tolist() == [500, 856, 950, 950, 950]
    assert iou[0, methods.index("a")].tolist() == [0xFFFF, 0xFFFF, 700, 700, 700]
    assert noc[0, methods.index("b")].tolist() == [2, 2, 3, 3]
    assert noc[1, methods.index("c")].tolist() == [2, 2, 2, 2]
    first_click = np.concatenate([[0], np.cumsum(counts.astype(int))]).astype(int)
    assert first_click[-1] == len(arrays["y"]) == len(arrays["kind"]) == 3 + 3 + 2 + 1 + 2
    assert counts.reshape(len(names), len(methods))[2, methods.index("b")] == 0
    assert set(arrays["y"]) == {1}
    assert set(arrays["x"]) == {2}
    assert {KINDS[kind] for kind in arrays["kind"]} == {"positive"}


def test_clicks_follow_their_trace(write_run: Callable) -> None:
    from isegbench.harness.types import Click, Kind, Step, Trace

    kinds: list[Kind] = ["positive", "negative", "corner", "extreme"]
    traces = [
        Trace(
            method,
            "d",
            "s",
            0,
            f"i{n}",
            tuple(Step(Click(10 * n + k, 100 * m, kinds[k]), 0.5) for k in range(1 + (n + m) % 4)),
        )
        for m, method in enumerate(["z", "a"])
        for n in range(6)
    ]
    value, arrays = unpacked(write_run(traces))
    methods = ["z", "a"]
    first = np.concatenate([[0], np.cumsum(arrays["clicks"].astype(int))]).astype(int)
    for one in traces:
        cell = value["rows"]["instance"].index(one.instance) * 2 + methods.index(one.method)
        part = slice(first[cell], first[cell + 1])
        assert arrays["y"][part].tolist() == [step.click.y for step in one.steps]
        assert arrays["x"][part].tolist() == [step.click.x for step in one.steps]
        assert [KINDS[k] for k in arrays["kind"][part]] == [step.click.kind for step in one.steps]


def test_a_run_without_traces_has_a_page(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.5])])
    for file in (run / "traces").iterdir():
        file.unlink()
    assert (write_report([run], ["html"]).folder / "index.html").exists()


def test_nothing_gets_out_of_its_place(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.5], HOSTILE, HOSTILE, HOSTILE)], methods={HOSTILE: {"spec": HOSTILE}})
    html = (write_report([run], ["html"]).folder / "index.html").read_text("utf-8")
    scripts = re.findall(r"<script[^>]*>", html)
    assert len(scripts) == 4
    assert "<script>x" not in html
    assert "<!-- " not in html
    assert 'http-equiv="Content-Security-Policy" content="default-src \'none\'' in html
    (text,) = re.findall(r'id="data">(.*?)</script>', html)
    assert json.loads(text)["methods"][0]["name"] == HOSTILE


def test_links_of_papers_are_links_only_when_they_are_of_the_web(
    write_run: Callable, trace: Callable
) -> None:
    paper = {"title": "T", "authors": "A", "year": 2020}
    run = write_run(
        [trace([0.5], "bad"), trace([0.5], "good")],
        methods={
            "bad": {"paper": paper | {"url": "javascript:alert(1)"}},
            "good": {"paper": paper | {"url": "https://example.org/a?b&c"}},
        },
    )
    html = (write_report([run], ["html"]).folder / "index.html").read_text("utf-8")
    assert 'href="javascript' not in html
    assert '<a href="https://example.org/a?b&amp;c"' in html


def test_the_page_needs_no_other_file(write_run: Callable, trace: Callable) -> None:
    html = (write_report([write_run([trace([0.5])])], ["html"]).folder / "index.html").read_text(
        "utf-8"
    )
    for address in re.findall(r'(?:src|href)="([^"]*)"', html):
        assert address.startswith(("#", "data:")), address
    assert not re.search(r"@import|url\(", html)


def test_a_stopped_run_draws_no_mean_curves(write_run: Callable, trace: Callable) -> None:
    run = write_run([trace([0.95])], stop_at=0.9)
    html = (write_report([run], ["html"]).folder / "index.html").read_text("utf-8")
    (text,) = re.findall(r'id="data">(.*?)</script>', html)
    assert json.loads(text)["stopAt"] == 0.9


def test_pictures_beyond_the_limit_are_linked(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 200, 3), np.uint8)
    folder = tmp_path / "traces"
    folder.mkdir()
    for name in ("a.png", "b #1.png", "c.png"):
        cv2.imwrite(str(folder / name), noise)
    size = len(page_pictures._compressed(folder / "a.png"))
    pictures = page_pictures.Pictures(tmp_path, most_bytes=int(1.5 * size))
    taken = [pictures.take(path) for path in page_pictures.pictures_in(folder)]
    assert [one.inside for one in taken] == [True, False, False]
    assert taken[0].source.startswith("data:image/webp;base64,")
    assert taken[1].source == "traces/b%20%231.png"


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"x\.png is not a picture"):
        page_pictures.Pictures(tmp_path).take(tmp_path / "x.png")


def test_pictures_of_different_traces_have_different_names() -> None:
    keys = [("a", "b__c", "d"), ("a__b", "c", "d"), ("a", "b/c", "d"), ("a", "b:c", "d")]
    keys += [("A", "x" * 200, "d"), ("A", "x" * 201, "d"), ("", "", "")]
    names = [trace_picture_name(*key) for key in keys]
    assert len({name.lower() for name in names}) == len(keys)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_.#=-]{1,240}\.png", name)


def test_docstring_examples() -> None:
    result = doctest.testmod(page_data)
    assert result.failed == 0
    assert result.attempted > 0
