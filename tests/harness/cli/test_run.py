"""The command line from outside: what people type, and what they get wrong."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from isegbench.harness.store.traces import read_traces

BAD_METHOD = """
import numpy as np
from isegbench.harness.method import Method


class Fussy(Method):
    def predict_one(self, session):
        if session.shape[0] == 303:
            raise RuntimeError("no coins, please")
        return np.ones(session.shape, np.float32)
"""


def isegbench(*args, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "isegbench", *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
    )


@pytest.mark.slow
def test_the_main_job(tmp_path):
    out = tmp_path / "run"
    done = isegbench(
        *("run", "--method", "nearest-click", "--method", "oracle"),
        *("--dataset", "samples[0:3]", "--clicks", 3, "--out", out),
    )
    assert done.returncode == 0, done.stderr
    assert "nearest-click" in done.stdout
    frame = read_traces(out)
    assert len(frame) == 3 * 3 + 3
    report = isegbench("report", out)
    assert report.returncode == 0, report.stderr
    for name in ("leaderboard.md", "leaderboard.csv", "leaderboard.tex"):
        assert (out / "report" / name).stat().st_size > 0
    assert list((out / "report").glob("curves*.png"))
    assert list((out / "report").glob("curves*.svg"))
    instance = frame.instance[0]
    shown = isegbench("show", out, "--dataset", "samples", "--instance", instance)
    assert shown.returncode == 0, shown.stderr
    assert len(list((out / "report" / "traces").glob("*.png"))) == 2


def test_a_toml_file_and_options_that_win(tmp_path):
    (tmp_path / "bench.toml").write_text(
        'methods = [{name = "empty", label = "nothing"}]\ndatasets = ["samples"]\nclicks = 9\n'
    )
    done = isegbench(
        "run", tmp_path / "bench.toml", "--clicks", 2, "--limit", 2, "--out", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    frame = read_traces(tmp_path / "o")
    assert frame.method.unique().tolist() == ["nothing"]
    assert frame.groupby("instance").click.max().tolist() == [2, 2]
    again = isegbench(
        "show", tmp_path / "o", "--dataset", "samples", "--instance", frame.instance[0]
    )
    assert again.returncode == 0, again.stderr


TO = ("--out", "o")
RUN = ("run", "--method", "empty", "--dataset", "samples", *TO)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (("run", "--method", "emty", "--dataset", "samples", *TO), "did you mean 'empty'"),
        (("run", "--method", "empty:x=1", "--dataset", "samples", *TO), "no parameter 'x'"),
        (("run", "--dataset", "samples", "--out", "o"), "methods is missing: give --method"),
        (("run", "--method", "empty", "--dataset", "samples"), "out is missing: give --out"),
        ((*RUN, "--clicks", "0"), "clicks = 0"),
        ((*RUN, "--stop-at", "1.5"), "stop_at = 1.5"),
        ((*RUN, "--executor", "slurm"), "'inline' or 'ray'"),
        ((*RUN, "--simulator", "nobody"), "unknown simulator 'nobody'"),
        (("run", "bench.toml"), "bench.toml: no such file"),
        (("report", "nowhere"), "nowhere is not a run"),
        (("show", "nowhere", "--dataset", "d", "--instance", "i"), "nowhere is not a run"),
        (
            ("run", "--method", "empty", "--dataset", "grabcut", "--data-root", ".", *TO),
            "isegbench data download grabcut",
        ),
        (("run", "--method", "empty", "--dataset", "folder:nowhere", *TO), "nowhere"),
    ],
)
def test_mistakes_are_a_message_and_exit_code_2(tmp_path, args, complaint):
    done = isegbench(*args, cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "o" / "traces").exists()


def test_other_settings_do_not_mix_into_a_run(tmp_path):
    base = ("run", "--method", "empty", "--dataset", "samples[0:2]", "--out", tmp_path / "o")
    assert isegbench(*base, "--clicks", 2).returncode == 0
    before = read_traces(tmp_path / "o")
    refused = isegbench(*base, "--clicks", 3)
    assert refused.returncode == 2
    assert "clicks: 2 in the run, now 3" in refused.stderr
    pd.testing.assert_frame_equal(read_traces(tmp_path / "o"), before)


def test_a_method_that_fails_costs_its_instances_and_is_counted(tmp_path):
    (tmp_path / "fussy.py").write_text(BAD_METHOD)
    done = isegbench(
        *("run", "--method", "fussy.py:Fussy", "--dataset", "samples", "--clicks", 2, "--out", "o"),
        cwd=tmp_path,
    )
    assert done.returncode == 1, done.stderr
    assert "fussy.py:Fussy: 7 of 24 traces failed" in done.stderr
    assert 'line 9, in predict_one\n        raise RuntimeError("no coins, please")' in done.stderr
    assert "guard.py" not in done.stderr
    allowed = isegbench(
        *("run", "--method", "fussy.py:Fussy", "--dataset", "samples", "--clicks", 2, "--out", "o"),
        "--allow-failures",
        cwd=tmp_path,
    )
    assert allowed.returncode == 0, allowed.stderr
    frame = read_traces(tmp_path / "o")
    failed = frame[frame.status == "method-failed"].instance
    assert failed.str.startswith("coins#").all()
    assert len(failed) == 7
    assert frame.instance.nunique() == 24
    assert "RuntimeError: no coins, please" in (tmp_path / "o" / "failures.jsonl").read_text()
    assert "7" in done.stdout


def test_damaged_data_costs_its_instances(tmp_path):
    import cv2

    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    mask = np.zeros((30, 40), np.uint8)
    mask[5:20, 5:20] = 255
    masks = {"good": mask, "cut": mask, "small": mask[:20], "empty": mask * 0}
    for name, drawn in masks.items():
        picture = rng.integers(0, 255, (30, 40, 3)).astype(np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), picture)
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), drawn)
    cut = tmp_path / "images" / "cut.png"
    cut.write_bytes(cut.read_bytes()[:-1000])
    done = isegbench(
        *("run", "--method", "empty", "--dataset", f"folder:{tmp_path}", "--clicks", 1),
        *("--out", tmp_path / "o"),
    )
    assert done.returncode == 0, done.stderr
    status = read_traces(tmp_path / "o").set_index("instance").status
    assert status.to_dict() == {
        "good": "ok",
        "cut": "data-failed",
        "small": "data-failed",
        "empty": "data-failed",
    }
    reasons = (tmp_path / "o" / "failures.jsonl").read_text()
    for reason in ("cut.png", "40x20", "no object pixel"):
        assert reason in reasons


@pytest.mark.slow
@pytest.mark.parametrize("what", ["methods", "datasets", "simulators"])
def test_lists_name_everything(what):
    from isegbench.harness import registry

    done = isegbench("list", what)
    assert done.returncode == 0, done.stderr
    for name in getattr(registry, what).names():
        assert name in done.stdout


def test_help_has_examples_for_every_command():
    for words in (
        ["run"],
        ["report"],
        ["show"],
        ["list"],
        ["data", "download"],
        ["data", "verify"],
    ):
        done = isegbench(*words, "--help")
        assert done.returncode == 0
        assert f"isegbench {' '.join(words)}" in done.stdout.replace("Usage", "")
        assert "xample" in done.stdout
