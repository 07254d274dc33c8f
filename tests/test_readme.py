"""The README's instructions, word for word."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from isegbench.harness.store.traces import read_traces

README = Path(__file__).resolve().parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.ray
def test_a_new_method_gets_onto_the_leaderboard(tmp_path):
    (code,) = [block for block in blocks("python") if block.startswith("# watershed.py")]
    (commands,) = blocks("sh")
    assert len(code.strip().splitlines()) < 30
    (tmp_path / "watershed.py").write_text(code)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
    )
    assert done.returncode == 0, done.stderr
    board = (tmp_path / "results/runs/watershed/report/leaderboard.md").read_text()
    assert "watershed.py:Watershed" in board
    frame = read_traces(tmp_path / "results/runs/watershed")
    final = frame[frame.click == 20].groupby("method").iou.mean()
    assert (frame.status == "ok").all()
    assert final["watershed.py:Watershed"] > 0.5


@pytest.mark.parametrize(("call", "said"), [("isegbench.run(", "iou"), ("Predictor(", "pixels")])
def test_the_python_examples_run(call, said, capsys, local_ray):
    (code,) = [block for block in blocks("python") if call in block]
    exec(code, {})
    assert said in capsys.readouterr().out


def test_its_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#:]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
