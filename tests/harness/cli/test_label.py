"""`isegbench label` from outside: killed and started again, and what it says."""

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from isegbench.datasets import samples
from isegbench.harness.store.traces import finished

PHOTOGRAPHS = Path(str(files("skimage"))) / "data"

SLOW = """
import time
import numpy as np
from isegbench.harness.method import Method


class Slow(Method):
    opening = "box"

    def __init__(self, log: str) -> None:
        self.log = log

    def predict_one(self, session):
        with open(self.log, "a") as file:
            file.write(f"{session.seed}\\n")
        time.sleep(0.05)
        rng = np.random.default_rng(session.seed)
        return rng.random(session.shape, np.float32)
"""


@pytest.fixture
def boxes(tmp_path):
    content = json.loads(samples.MASKS.read_text())
    for annotation in content["annotations"]:
        del annotation["segmentation"], annotation["area"]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(content))
    return file


def command(boxes, out, method, *more):
    return [
        *(sys.executable, "-m", "isegbench", "label"),
        *("--boxes", str(boxes), "--images", str(PHOTOGRAPHS)),
        *("--method", method, "--out", str(out), *map(str, more)),
    ]


def lines(log):
    return log.read_text().split() if log.exists() else []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_and_started_again(boxes, tmp_path, how):
    (tmp_path / "slow.py").write_text(SLOW)
    log, out = tmp_path / "log", tmp_path / "masks.json"
    method = f"{tmp_path / 'slow.py'}:Slow:log={log}"
    process = subprocess.Popen(command(boxes, out, method), stderr=subprocess.PIPE, text=True)
    while len(lines(log)) < 6 and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert not out.exists()
    there = len(finished(tmp_path / "masks.json.parts"))
    begun = len(lines(log))
    assert 0 < begun < 24
    if how == signal.SIGINT:
        assert process.returncode == 130
        assert "To resume:" in errors
        assert "isegbench label --boxes" in errors
        assert "Traceback" not in errors
    again = subprocess.run(command(boxes, out, method), capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert f"Resuming: {there} finished" in again.stderr
    computed = Counter(lines(log))
    assert len(computed) == 24
    assert sum(computed.values()) - 24 <= begun - there
    calm = tmp_path / "calm.json"
    subprocess.run(command(boxes, calm, method), check=True, capture_output=True)
    shot, undisturbed = (json.loads(path.read_text()) for path in (out, calm))
    assert shot["annotations"] == undisturbed["annotations"]
    assert len(COCO(str(out)).anns) == 24
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".tmp")]


def test_it_says_what_it_did(boxes, tmp_path):
    content = json.loads(boxes.read_text())
    content["annotations"][0]["bbox"] = [1, 1, 0, 0]
    content["annotations"][1]["iscrowd"] = 1
    boxes.write_text(json.dumps(content))
    out = tmp_path / "masks.json"
    done = subprocess.run(
        command(boxes, out, "ellipse", "--limit", 3), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 3 boxes have no mask (1 data-failed):" in done.stdout
    assert "is empty: 0 wide, 0 high" in done.stdout
    assert "1 annotations of crowds were left out." in done.stdout
    assert f"2 masks in {out}" in done.stdout
    assert "ellipse on boxes: 3/3" in done.stderr


@pytest.mark.slow
def test_mistakes_are_explained(boxes, tmp_path):
    done = subprocess.run(
        command(boxes, tmp_path / "o.json", "oracle"), capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "opens with click" in done.stderr
    assert "grabcut:opening=box" in done.stderr
    assert "Traceback" not in done.stderr
