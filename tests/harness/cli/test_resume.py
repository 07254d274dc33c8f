"""A run killed at random moments and started again ends as an undisturbed one."""

import os
import random
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter

import pandas as pd
import pytest

from isegbench.harness.store.traces import finished, read_traces

METHOD = """
import os, time
import numpy as np
from isegbench.harness.method import Method


class Logged(Method):
    def __init__(self, log: str) -> None:
        self.log = log

    def begin(self, session):
        with open(self.log, "a") as file:
            file.write(f"{session.seed}\\n")

    def predict_one(self, session):
        time.sleep(0.01)
        rng = np.random.default_rng(session.seed + len(session.clicks))
        return rng.random(session.shape, np.float32)
"""


def command(tmp_path, out):
    (tmp_path / "logged.py").write_text(textwrap.dedent(METHOD))
    return [
        *(sys.executable, "-m", "isegbench", "run"),
        *("--method", f"{tmp_path / 'logged.py'}:Logged:log={tmp_path / out}.log"),
        *("--dataset", "samples", "--clicks", "4", "--seeds", "3", "--out", str(tmp_path / out)),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_killed_again_and_again(tmp_path, seed):
    rng = random.Random(seed)
    subprocess.run(command(tmp_path, "calm"), check=True, capture_output=True)
    lost, kills = 0, 0
    while True:
        process = subprocess.Popen(
            command(tmp_path, "shot"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        log = tmp_path / "shot.log"
        begun = len(log.read_text().split()) if log.exists() else 0
        for _ in range(600):
            if (
                process.poll() is not None
                or len(log.read_text().split() if log.exists() else ()) > begun + 3
            ):
                break
            time.sleep(0.05)
        time.sleep(rng.random() * 0.8)
        if process.poll() is not None or kills == 4:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        there = finished(tmp_path / "shot")
        started = set(log.read_text().split())
        lost += len(started) - len(there)
    assert process.wait() == 0, process.stderr and process.stderr.read().decode()
    assert kills > 0
    columns = ["dataset", "simulator", "seed", "instance", "click", "y", "x", "kind", "iou"]
    calm, shot = (pd.DataFrame(read_traces(tmp_path / out)[columns]) for out in ("calm", "shot"))
    pd.testing.assert_frame_equal(calm, shot, check_exact=True)
    computed = Counter(log.read_text().split())
    assert len(computed) == 24 * 3
    # Only what was in flight, or finished within the last tenth of a second, is computed again.
    again = sum(computed.values()) - len(computed)
    assert again <= lost


@pytest.mark.slow
def test_what_is_finished_is_not_computed_again(tmp_path):
    for _ in range(2):
        subprocess.run(command(tmp_path, "twice"), check=True, capture_output=True)
    assert max(Counter((tmp_path / "twice.log").read_text().split()).values()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", pytest.param("ray", marks=pytest.mark.ray)])
def test_interrupted_politely_it_says_how_to_go_on(tmp_path, executor):
    """The command it prints, typed into a shell, ends the run; nothing is computed twice."""
    name = f"polite {executor}"
    words = [*command(tmp_path, name), "--executor", executor, "--workers", "2"]
    environment = os.environ | {"RAY_ADDRESS": "local"}
    # As from a terminal: Ctrl-C goes to every process of the group.
    process = subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, start_new_session=True, env=environment
    )
    log = tmp_path / f"{name}.log"
    while not log.exists() or len(log.read_text().split()) < 5:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    there = len(finished(tmp_path / name))
    assert 0 < there < 72
    again = errors.partition("To resume:")[2].strip()
    assert again.startswith("isegbench run ")
    rest = shlex.split(again)[1:]
    assert rest == words[3:]
    done = subprocess.run([*words[:3], *rest], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert f"Resuming: {there} finished traces are kept." in done.stderr
    assert len(finished(tmp_path / name)) == 72
    computed = Counter(log.read_text().split())
    # What was in flight is begun again: of each of two workers a few sessions, and what it
    # finished since it last sent, which it does every 0.2 s.
    assert sum(computed.values()) - 72 <= 2 * 15
