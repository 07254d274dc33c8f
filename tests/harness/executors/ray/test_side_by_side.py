"""Methods that need different resources, at the same time on one cluster."""

import time
from collections.abc import Generator

import pytest
import ray

import isegbench
from isegbench.harness.executors.ray.executor import RayPool
from isegbench.harness.planning.config import make_config
from isegbench.harness.planning.plan import make_plan

TIMED = """
import os
import time
from pathlib import Path

import numpy as np
import ray
from isegbench.harness.method import Method

class Timed(Method):
    # Leaves marks in a folder. The first call of each worker waits until `meet` workers of every
    # method are at work, for two minutes at most.
    def __init__(self, marks: str, meet: int) -> None:
        self.marks, self.meet = marks, meet
        self.builds = Path(marks, f"built-{os.getpid()}-{time.time_ns()}")
        context = ray.get_runtime_context()
        here = context.worker.mode == ray.SCRIPT_MODE
        occupied = {} if here else context.get_assigned_resources()
        self.builds.write_text(repr(sorted(occupied.items())))

    def predict_one(self, session):
        started = time.time()
        mine = Path(self.marks, f"began-{os.getpid()}")
        if not mine.exists():
            mine.touch()
            folders = list(Path(self.marks).parent.glob("*/"))
            while any(len(list(one.glob("began-*"))) < self.meet for one in folders):
                if time.time() > started + 120:
                    break
                time.sleep(0.05)
        time.sleep(0.2)
        with open(Path(self.marks, f"calls-{os.getpid()}"), "a") as file:
            file.write(f"{started} {time.time()} {session.dataset}\\n")
        return np.ones(session.shape, np.float32)
"""


pytestmark = pytest.mark.ray


@pytest.fixture(scope="module", autouse=True)
def machine():
    ray.shutdown()
    ray.init("local", num_cpus=3, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def timed(tmp_path):
    """A method in a table, with what its workers occupy, and a folder for its marks."""
    (tmp_path / "timed.py").write_text(TIMED)

    def table(label, **resources):
        marks = tmp_path / "marks" / label
        marks.mkdir(parents=True)
        name = f"{tmp_path / 'timed.py'}:Timed"
        options = {"marks": str(marks), "meet": 2, "resources": resources}
        return {"name": name, "label": label, **options}

    return table


def spans(folder):
    """(start, end) of each worker's calls."""
    times = [path.read_text().split() for path in folder.glob("calls-*")]
    return [(float(words[0]), float(words[-2])) for words in times]


def test_each_gets_its_resources_and_they_run_at_the_same_time(timed, discs, tmp_path):
    methods = [timed("heavy", cpus=1, gpus=0.5), timed("light", cpus=0.5)]
    frame = isegbench.run(methods, discs(20), clicks=2, executor="ray").traces
    assert (frame.status == "ok").all()
    assert len(frame.groupby(["method", "instance"])) == 40
    given = {
        label: [path.read_text() for path in (tmp_path / "marks" / label).glob("built-*")]
        for label in ("heavy", "light")
    }
    assert given["heavy"].count("[('CPU', 1.0), ('GPU', 0.5)]") == 2
    assert given["light"].count("[('CPU', 0.5)]") == 2
    heavy, light = spans(tmp_path / "marks/heavy"), spans(tmp_path / "marks/light")
    together = min(end for _, end in heavy + light) - max(start for start, _ in heavy + light)
    assert together > 0, "one waited for the other"


def test_a_worker_builds_a_method_once_for_all_data_sets_and_seeds(timed, discs, tmp_path):
    first, second = discs(12), discs(6, seed=1)
    second.name = "more discs"
    method = timed("one")
    frame = isegbench.run(
        method, [first, second], clicks=1, seeds=2, executor="ray", workers=2
    ).traces
    assert (frame.status == "ok").all()
    assert len(frame.groupby(["dataset", "seed", "instance"])) == 36
    workers = len(list((tmp_path / "marks/one").glob("calls-*")))
    assert workers == 2
    assert len(list((tmp_path / "marks/one").glob("built-*"))) == workers + 1, "and one here"


def test_workers_without_room_do_not_stop_the_others(discs, nearest_seed):
    method = {"methods": nearest_seed, "datasets": discs(8), "clicks": 2}
    config = make_config({**method, "executor": "ray", "workers": 9})
    statuses = []
    traces = list(RayPool(9).run(make_plan(config).jobs(set()), statuses.append))
    assert len(traces) == 8
    assert max(status.wanted for status in statuses) == 8
    assert max(status.alive for status in statuses) <= 3


def test_workers_are_gone_when_the_run_is_left(discs, nearest_seed):
    plan = make_plan(make_config({"methods": nearest_seed, "datasets": discs(9), "clicks": 9}))
    statuses = []
    traces = RayPool(2).run(plan.jobs(set()), statuses.append)
    assert isinstance(traces, Generator)
    next(traces)
    traces.close()
    assert statuses[-1].alive == statuses[-1].wanted == 0
    until = time.monotonic() + 120
    while ray.available_resources().get("CPU") != 3 and time.monotonic() < until:
        time.sleep(0.1)
    assert ray.available_resources().get("CPU") == 3
