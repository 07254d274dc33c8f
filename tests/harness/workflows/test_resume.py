"""A run is resumed with what it was made with, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.store.manifest import read_manifest
from isegbench.harness.store.traces import read_traces

METHOD = """
import numpy as np
from isegbench import Method


class Same(Method):
    def predict_one(self, session):
        {imported}
        return np.full(session.shape, {value}, np.float32)
"""


class Scaled(isegbench.Method):
    def __init__(self, scale):
        self.scale = scale

    def predict_one(self, session):
        return np.full(session.shape, 0.9 if self.scale > 9 else 0.1, np.float32)


class Margin(LargestError):
    def __init__(self, margin):
        super().__init__()
        self.margin = margin


def write_method(folder: Path, value: str, imported: str = "pass") -> str:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(METHOD.format(value=value, imported=imported))
    return f"{folder / 'mine.py'}:Same"


def command(method: str, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    given = ["--method", method, "--method", "nearest-click", "--dataset", "samples[0:2]"]
    given += ["--clicks", "2", "--out", str(out), *more]
    return subprocess.run(
        [sys.executable, "-m", "isegbench", "run", *given], capture_output=True, text=True
    )


def test_an_edited_method_is_refused_then_redone_or_kept(tmp_path):
    out = tmp_path / "run"
    done = command(write_method(tmp_path, "0.1"), out)
    assert done.returncode == 0, done.stderr
    before = read_traces(out)
    method = write_method(tmp_path, "0.9")
    refused = command(method, out)
    assert refused.returncode == 2
    assert "file mine.py" in refused.stderr.replace("\n", " ")
    assert "--redo mine.py:Same" in refused.stderr.replace("\n", " ")
    redone = command(method, out, "--redo", "mine.py:Same")
    assert redone.returncode == 0, redone.stderr
    after = read_traces(out)
    mine = after.method == "mine.py:Same"
    assert len(after) == len(before)
    assert not np.allclose(after.iou[mine], before.iou[mine])
    assert after[~mine].equals(before[~mine])
    assert command(method, out).returncode == 0
    assert read_manifest(out).accepted == []
    kept = command(write_method(tmp_path, "0.1"), out, "--keep")
    assert kept.returncode == 0, kept.stderr
    (accepted,) = read_manifest(out).accepted
    assert any("file mine.py" in line for line in accepted.differences)


@pytest.mark.parametrize(
    "statement", ["import helper", "from helper import VALUE", "from pkg import helper"]
)
def test_an_edited_module_that_a_method_imports_is_refused(tmp_path, monkeypatch, statement):
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "pkg" if "pkg" in statement else tmp_path
    folder.mkdir(exist_ok=True)
    (folder / "__init__.py").touch()
    (folder / "helper.py").write_text("VALUE = 1\n")
    method = write_method(tmp_path, "0.5", statement)
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    isegbench.run(method, **request)
    isegbench.run(method, **request)
    (folder / "helper.py").write_text("VALUE = 2\n")
    with pytest.raises(UserError, match="helper.py"):
        isegbench.run(method, **request)


def test_a_file_edited_within_one_process_is_imported_again(tmp_path):
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    before = isegbench.run(write_method(tmp_path, "0.1"), **request).traces
    method = write_method(tmp_path, "0.9")
    with pytest.raises(UserError, match="file mine.py"):
        isegbench.run(method, **request)
    after = isegbench.run(method, redo="mine.py:Same", **request).traces
    assert before.iou[0] != after.iou[0]


def test_objects_of_one_class_with_other_parameters_are_refused(tmp_path):
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    isegbench.run(Scaled(100), **request)
    isegbench.run(Scaled(100), **request)
    with pytest.raises(UserError, match="parameter scale: 100 in the run, now 2000"):
        isegbench.run(Scaled(2000), **request)
    isegbench.run(Scaled(2000), redo="Scaled", **request)


def test_simulators_of_one_class_with_other_parameters_are_refused(tmp_path):
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    isegbench.run("nearest-click", simulator=Margin(1), **request)
    with pytest.raises(UserError, match="simulator: parameter margin: 1 in the run, now 12"):
        isegbench.run("nearest-click", simulator=Margin(12), **request)


def test_a_label_does_not_hide_other_settings_of_a_simulator(tmp_path):
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    shaky = {"name": "largest-error", "label": "shaky"}
    isegbench.run("nearest-click", simulator=shaky | {"jitter": 1}, **request)
    with pytest.raises(UserError, match="parameter jitter: 1.0 in the run, now 5.0"):
        isegbench.run("nearest-click", simulator=shaky | {"jitter": 5}, **request)


def test_another_replay_file_is_refused(tmp_path):
    clicks = tmp_path / "clicks.csv"
    request = {"datasets": "samples[0:1]", "clicks": 1, "out": tmp_path / "run"}
    text = "instance,y,x,kind\nastronaut#1,{},9,positive\n"
    clicks.write_text(text.format(8))
    isegbench.run("nearest-click", simulator=f"replay:{clicks}", **request)
    clicks.write_text(text.format(9))
    with pytest.raises(UserError, match="simulator: parameter path: sha256"):
        isegbench.run("nearest-click", simulator=f"replay:{clicks}", **request)


def write_images(folder: Path, brightness: int) -> None:
    import cv2

    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 255
    for name, content in (("images", np.full((20, 20, 3), brightness, np.uint8)), ("masks", mask)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name / "a.png"), content)


@pytest.mark.parametrize("limit", [64 * 2**20, 0], ids=["bytes", "size and mtime"])
def test_other_images_of_the_same_names_are_refused(tmp_path, monkeypatch, limit):
    monkeypatch.setattr("isegbench.harness.planning.content.HASHED_BYTES", limit)
    write_images(tmp_path / "set", 9)
    request = {"datasets": f"folder:{tmp_path / 'set'}", "clicks": 1, "out": tmp_path / "run"}
    isegbench.run("nearest-click", **request)
    isegbench.run("nearest-click", **request)
    write_images(tmp_path / "set", 200)
    os.utime(tmp_path / "set" / "images" / "a.png", (1, 1))
    with pytest.raises(UserError, match="images and masks"):
        isegbench.run("nearest-click", **request)


def test_out_that_vanishes_ends_the_run_at_once(tmp_path):
    import shutil

    seen = []

    class Deletes(isegbench.Method):
        def predict_one(self, session):
            seen.append(session)
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            return np.zeros(session.shape, np.float32)

    with pytest.raises(UserError, match="has been deleted, moved or replaced"):
        isegbench.run(Deletes, "samples", clicks=1, out=tmp_path / "run")
    assert len(seen) < 20
    assert not (tmp_path / "run").exists()
