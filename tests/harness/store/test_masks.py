"""Masks that a run keeps: as run lengths, through both executors, deaths and resuming."""

import doctest
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.method import Method
from isegbench.harness.store import masks
from isegbench.harness.store.traces import Store
from isegbench.harness.types import EncodedMask, Trace

OPTIONS = {"clicks": 4, "save_masks": True}


def test_docstring_examples_run():
    result = doctest.testmod(masks)
    assert result.failed == 0
    assert result.attempted >= 2


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 1000), st.sampled_from([0, 0.5, 1]))
@settings(max_examples=50, deadline=None)
def test_a_mask_comes_back_to_the_pixel(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    assert np.array_equal(masks.decode_mask(masks.encode_mask(mask)), mask)


class Banded(Method):
    """As many columns as clicks; the mask is not symmetric, so that axes cannot be mixed up."""

    def predict_one(self, session):
        result = np.zeros(session.shape, np.float32)
        result[:10, : 5 * len(session.clicks)] = 1
        return result


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_coco_opens_what_a_run_kept(tmp_path, discs, executor, request):
    if executor == "ray":
        request.getfixturevalue("local_ray")
    more = {"executor": executor, "workers": 1} if executor == "ray" else {}
    isegbench.run([Banded, "oracle"], discs(3), out=tmp_path / "o", **OPTIONS, **more)
    found = sorted(path.name for path in (tmp_path / "o" / "masks").glob("*.json"))
    assert found == ["discs--Banded.json", "discs--oracle.json"]
    coco: Any = COCO(tmp_path / "o" / "masks" / "discs--Banded.json")
    assert len(coco.imgs) == len(coco.anns) == 3
    for annotation in coco.anns.values():
        image = coco.imgs[annotation["image_id"]]
        assert annotation["instance"] == image["file_name"]
        assert annotation["seed"] == 0
        mask = coco.annToMask(annotation)
        assert mask.shape == (image["height"], image["width"])
        expected = np.zeros_like(mask)
        expected[:10, :20] = 1
        assert np.array_equal(mask, expected), "the mask after the fourth click"
        assert annotation["area"] == 200
        assert annotation["bbox"] == [0, 0, 20, 10]


def test_instances_of_one_image_share_it(tmp_path):
    isegbench.run("oracle", "samples", out=tmp_path / "o", limit=6, **OPTIONS)
    content = json.loads((tmp_path / "o" / "masks" / "samples--oracle.json").read_text())
    run = isegbench.load_run(tmp_path / "o")
    image_of = dict(zip(run.instances["instance"], run.instances["image"], strict=True))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    assert len(names) == len(set(image_of.values())) < 6
    for annotation in content["annotations"]:
        assert names[annotation["image_id"]] == image_of[annotation["instance"]]


def test_what_failed_has_no_mask(tmp_path, discs):
    class Breaks(Method):
        def predict_one(self, session):
            if session.shape[0] == 40 and len(session.clicks) == 2:
                raise ValueError("no")
            return np.ones(session.shape, np.float32)

    isegbench.run(Breaks, discs(4), out=tmp_path / "o", **OPTIONS)
    kept = {key[4] for key, _ in masks.read_masks(tmp_path / "o")}
    assert kept == {"disc1", "disc3"}


def test_a_mask_is_on_disk_before_its_trace_and_half_a_line_spoils_nothing(tmp_path, monkeypatch):
    def trace(name):
        mask = masks.encode_mask(np.eye(3, dtype=bool))
        return Trace("m", "d", "s", 0, name, (), mask=mask)

    lines = tmp_path / "masks" / "masks.jsonl"
    with Store(tmp_path, flush_seconds=0) as store:
        store.add(trace("a"))
        lines.write_bytes(lines.read_bytes() + b'{"method": "m", "data')
        store.add(trace("b"))
    assert {key[4] for key, _ in masks.read_masks(tmp_path)} == {"a", "b"}

    def die(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("isegbench.harness.store.traces._write", die)
    store = Store(tmp_path, flush_seconds=0)
    with pytest.raises(KeyboardInterrupt):
        store.add(trace("c"))
    assert "c" in {key[4] for key, _ in masks.read_masks(tmp_path)}


def test_the_newer_of_two_masks_counts(tmp_path):
    for counts in ("04", "13"):
        mask = EncodedMask(2, 2, counts)
        masks.append_masks(tmp_path, [Trace("m", "d", "s", 0, "a", (), mask=mask)])
    assert [mask.counts for _, mask in masks.read_masks(tmp_path)] == ["13"]


KILLED = """
import os, sys
import numpy as np
import isegbench
from isegbench.harness.method import Method
class Full(Method):
    seen = 0
    def predict_one(self, session):
        Full.seen += 1
        if Full.seen > int(sys.argv[2]):
            os._exit(9)
        return np.ones(session.shape, np.float32)
isegbench.run(Full, "samples[0:5]", out=sys.argv[1], clicks=2, save_masks=True)
"""


@pytest.mark.slow
def test_a_run_that_died_resumes_to_the_same_masks(tmp_path):
    for out, deaths in (("whole", [99]), ("died", [3, 5, 99])):
        for predictions in deaths:
            subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / out), str(predictions)])
    whole, died = (tmp_path / out / "masks" / "samples--Full.json" for out in ("whole", "died"))
    assert whole.read_bytes() == died.read_bytes()
    assert len(json.loads(whole.read_text())["annotations"]) == 5


def test_masks_need_a_directory_and_cannot_begin_half_way(tmp_path, discs):
    with pytest.raises(UserError, match="save_masks needs out"):
        isegbench.run("oracle", discs(1), save_masks=True)
    isegbench.run("oracle", discs(1), clicks=2, out=tmp_path / "o")
    assert not (tmp_path / "o" / "masks").exists()
    with pytest.raises(UserError, match="kept: masks: False in the run, now True"):
        isegbench.run("oracle", discs(1), clicks=2, out=tmp_path / "o", save_masks=True)
