"""Faults of a cluster during a run: afterwards every trace is there, once, and the same."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

import isegbench
from isegbench.harness.errors import UserError
from isegbench.harness.executors.choose import make_executor
from isegbench.harness.executors.ray import dispatch, executor
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.plan import make_plan
from isegbench.harness.store.traces import read_traces, trace_files
from isegbench.harness.workflows.benchmark import execute

from .conftest import FAULTY, REPEATS, STABLE


def steady(marks):
    """A slow method; the folder `marks` gets a file for each process that builds it."""
    marks.mkdir(exist_ok=True)
    return {
        "name": f"{FAULTY}:Steady",
        "label": "steady",
        "seconds": 0.02,
        "marks": str(marks),
    }


def options(nodes, **more):
    cluster = {"executor": "ray", "workers": 2, "ray_address": nodes.address}
    return {"clicks": 5, "seeds": 3, "simulator": "random-error", **cluster, **more}


def workers_in(marks):
    """The ids of the live worker processes that have built the method."""
    found = [int(path.name) for path in marks.iterdir()]
    return [pid for pid in found if pid != os.getpid() and _is_worker(pid)]


def _is_worker(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::")
    except OSError:
        return False


def check_whole(out, undisturbed):
    rows = sum(pq.read_metadata(path).num_rows for path in trace_files(out))
    wanted = undisturbed()
    assert rows == len(wanted), "a trace is missing, or written twice"
    found = pd.DataFrame(read_traces(out)[STABLE])
    pd.testing.assert_frame_equal(found, wanted, check_exact=True)
    assert not (out / "failures.jsonl").exists()


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_workers_killed_at_any_time(nodes, pictures, undisturbed, tmp_path, repeat):
    chance = random.Random(repeat)
    marks, killed, statuses = tmp_path / "marks", [], []
    done = 0

    def kill():
        alive = workers_in(marks)
        if alive:
            killed.append(chance.choice(alive))
            os.kill(killed[-1], signal.SIGKILL)

    def count(_):
        nonlocal done
        done += 1
        if done in (8, 35, 62):
            threading.Timer(chance.uniform(0, 0.4), kill).start()

    out = tmp_path / "run"
    given = {"methods": steady(marks), "datasets": pictures, "out": out, **options(nodes)}
    execute(make_config(given), None, count, statuses.append)
    assert len(killed) >= 2
    check_whole(out, undisturbed)
    assert statuses[-1].failures == len(killed)
    assert statuses[-1].set_aside == 0
    assert statuses[-1].retried > 0


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_a_node_lost_and_another_come(nodes, pictures, undisturbed, tmp_path, repeat):
    chance = random.Random(100 + repeat)
    done, after, statuses, changes = 0, chance.randrange(5, 30), [], []

    def count(_):
        nonlocal done
        done += 1
        alive = statuses[-1].alive
        if not changes and done >= after and alive == 2:
            changes.append(done)
            nodes.lose()
        elif len(changes) == 1 and done >= changes[0] + 20:
            changes.append(done)
            nodes.replace()
        elif (len(changes) == 2 and alive < 2) or (not changes and done >= after):
            time.sleep(0.3)  # so that there is work left when a new worker comes

    out, marks = tmp_path / "run", tmp_path / "marks"
    given = {"methods": steady(marks), "datasets": pictures, "out": out, **options(nodes)}
    execute(make_config(given), None, count, statuses.append)
    check_whole(out, undisturbed)
    alive = [status.alive for status in statuses]
    fewer = alive.index(1, alive.index(2))
    assert 2 in alive[fewer:], "the worker on the new node did not join"
    assert statuses[-1].set_aside == 0


@pytest.mark.parametrize("repeat", range(REPEATS))
def test_the_driver_killed_and_started_again(nodes, pictures, undisturbed, tmp_path, repeat):
    chance = random.Random(200 + repeat)
    marks, out = tmp_path / "marks", tmp_path / "run"
    marks.mkdir()
    toml = tmp_path / "run.toml"
    toml.write_text(
        f"""
        datasets = ["{pictures}"]
        out = "{out}"
        clicks = 5
        seeds = 3
        simulator = "random-error"
        executor = "ray"
        workers = 2
        ray_address = "{nodes.address}"
        [[methods]]
        name = "{FAULTY}:Steady"
        label = "steady"
        seconds = 0.02
        marks = "{marks}"
        """
    )
    command = [sys.executable, "-m", "isegbench", "run", str(toml)]
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 150
    while not trace_files(out) and driver.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 1.5))
    driver.kill()
    driver.wait()
    left = len(undisturbed()) - sum(pq.read_metadata(path).num_rows for path in trace_files(out))
    assert left > 0, "it was done before it was killed: nothing was tested"
    again = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert again.returncode == 0, again.stderr
    assert "Resuming" in again.stderr
    check_whole(out, undisturbed)


HARM = {
    "kill": "worker-died",
    "segfault": "worker-died",
    "sleep": "timed-out",
    "hold": "worker-died",
}


@pytest.mark.parametrize("harm", HARM)
def test_an_instance_that_harms_its_worker_every_time(nodes, pictures, monkeypatch, harm):
    monkeypatch.setattr(executor, "GRACE_SECONDS", 1.0)
    method = {"name": f"{FAULTY}:Harmful", "harm": harm, "at": "p03"}
    limit = 0.5 if HARM[harm] == "timed-out" or harm == "hold" else None
    more = options(nodes, seeds=1, clicks=2, limit=8, time_limit=limit)
    frame = isegbench.run(method, pictures, **more).traces
    last = frame.groupby("instance").status.last()
    assert last["p03"] == HARM[harm]
    assert (last.drop("p03") == "ok").all()
    assert len(last) == 8


def test_a_stopped_worker_is_replaced(nodes, pictures, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(executor, "GRACE_SECONDS", 5.0)
    marks, out, stopped, statuses = tmp_path / "marks", tmp_path / "run", [], []

    def stop(_):
        if not stopped and (alive := workers_in(marks)):
            stopped.append(alive[0])
            os.kill(stopped[0], signal.SIGSTOP)

    given = {"methods": steady(marks), "datasets": pictures, "out": out, **options(nodes)}
    execute(make_config(given | {"time_limit": 5.0}), None, stop, statuses.append)
    assert stopped
    check_whole(out, undisturbed)
    assert statuses[-1].failures == 1
    assert "did not answer" in statuses[-1].problem
    # Ray kills it by SIGKILL when it has not answered Ray's own request to end for some seconds.
    until = time.monotonic() + 120
    while _is_worker(stopped[0]) and time.monotonic() < until:
        time.sleep(0.2)
    assert not _is_worker(stopped[0]), "the stopped process is still there"


def test_a_cluster_without_room_is_waited_for_and_given_up(nodes, pictures, monkeypatch):
    monkeypatch.setattr(dispatch, "_NO_ROOM_NOTICE_SECONDS", 0.5)
    monkeypatch.setattr(dispatch, "_NO_ROOM_LIMIT_SECONDS", 3.0)
    statuses = []
    values = {"methods": f"{FAULTY}:Steady", "datasets": pictures, **options(nodes)}
    config = make_config(values | {"gpus_per_worker": 2.0})
    jobs = make_plan(config).jobs(set())
    with pytest.raises(UserError, match=r"no node of the cluster has had room for .*2 GPU"):
        list(make_executor(config).run(jobs, statuses.append))
    assert any("no node of the cluster has room" in status.problem for status in statuses)
