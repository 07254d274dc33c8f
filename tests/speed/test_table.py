"""The speed table itself: that its rows are there, and that both loops do the same work."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .gpu import Busy

TABLE = Path(__file__).with_name("table.py")


@pytest.mark.timeout(900)  # a dozen seconds, but three processes that a busy machine starves
def test_a_row_of_the_table(tmp_path):
    out = tmp_path / "speed.json"
    words = ["--only", "methods", "--method", "nearest-click", "--instances", "3", "--clicks", "4"]
    command = [sys.executable, str(TABLE), *words, "--rounds", "1", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(out.read_text())["methods"]
    assert row["same_clicks"] == 1.0
    assert row["ratio"] > 0
    for side in (row["plain"], row["engine"]):
        assert side["clicks_per_second"] > 0
        assert side["peak_mib"] > 50
        assert 0 < side["own_share"] < 1
        assert min(side["milliseconds_per_click"][s] for s in ("decode", "score", "simulate")) > 0
    assert "same clicks 100%" in done.stdout


def test_how_busy_the_gpu_is_comes_from_its_driver(tmp_path, monkeypatch):
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\nfor n in 80 90 100; do echo $n; done\nexec sleep 60\n")
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with Busy() as gpu:
        time.sleep(0.5)
    assert gpu.share == 0.9


def test_without_a_driver_nobody_knows_how_busy_the_gpu_is(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with Busy() as gpu:
        pass
    assert gpu.share is None
