"""The ray executor on this machine: the same traces as inline, also after worker failures."""

import os
import signal
import textwrap

import numpy as np
import pandas as pd
import pytest
import ray

import isegbench
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.errors import UserError
from isegbench.harness.executors.ray import cluster as joining
from isegbench.harness.method import Method
from isegbench.harness.planning.resources import Resources
from isegbench.harness.store.traces import read_traces

STABLE = [
    *("method", "dataset", "simulator", "seed", "instance", "click"),
    *("y", "x", "kind", "iou", "status"),
]


pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.mark.parametrize("batch_size", [1, 3])
def test_two_workers_give_the_same_traces_to_the_bit(batch_size, discs):
    data = [discs(4), "samples[0:1]"]
    request = (["nearest-click", "geodesic", "grabcut"], data)
    options = {"clicks": 2, "seeds": 2, "simulator": "random-error:jitter=1"}
    inline = isegbench.run(*request, **options).traces
    pooled = isegbench.run(
        *request, executor="ray", workers=2, batch_size=batch_size, **options
    ).traces
    found, wanted = pd.DataFrame(pooled[STABLE]), pd.DataFrame(inline[STABLE])
    pd.testing.assert_frame_equal(wanted, found, check_exact=True)


def test_a_users_own_file_travels(tmp_path, discs):
    path = tmp_path / "mine.py"
    path.write_text(
        textwrap.dedent("""
        import numpy as np
        from isegbench.harness.method import Method

        LEVEL = 0.75

        class Mine(Method):
            def predict_one(self, session):
                return np.full(session.shape, LEVEL, np.float32)
        """)
    )
    frame = isegbench.run(f"{path}:Mine", discs(3), clicks=2, executor="ray", workers=2).traces
    assert (frame.status == "ok").all()
    assert set(frame.method) == {"mine.py:Mine"}


DOOMED = ["disc2", "disc5"]


class Deadly(Method):
    """Ends its process on the doomed instances, the first time or always.

    exits: it leaves by itself; else it is killed, which looks like a kill from outside.
    """

    def __init__(self, marks: str, always: bool, exits: bool) -> None:
        self.marks, self.always, self.exits = marks, always, exits
        self.doomed = {method_seed(0, "discs", name) for name in DOOMED}

    def predict_one(self, session):
        mark = os.path.join(self.marks, str(session.seed))
        if session.seed in self.doomed and (self.always or not os.path.exists(mark)):
            with open(mark, "a") as file:
                file.write("x")
            if self.exits:
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        return np.ones(session.shape, np.float32)


def run_deadly(tmp_path, discs, always, exits=False):
    marks = tmp_path / "marks"
    marks.mkdir()
    method = Deadly(str(marks), always, exits)
    frame = isegbench.run(
        method, discs(9), clicks=2, executor="ray", workers=2, out=tmp_path / "run"
    ).traces
    times = [len(path.read_text()) for path in marks.iterdir()]
    assert len(times) == 2, "no worker died: nothing was tested"
    return frame, times


def test_workers_that_die_are_replaced_and_nothing_is_lost(tmp_path, discs):
    frame, _ = run_deadly(tmp_path, discs, always=False)
    assert (frame.status == "ok").all()
    assert frame.groupby("instance").click.apply(list).tolist() == [[1, 2]] * 9


@pytest.mark.parametrize(
    ("exits", "said"),
    [(True, "crashed or left by itself 2 times"), (False, "killed or stopped from outside")],
)
def test_an_instance_that_always_ends_its_worker_is_set_aside(tmp_path, discs, exits, said):
    frame, times = run_deadly(tmp_path, discs, always=True, exits=exits)
    assert min(times) >= (2 if exits else 5), times
    errors = pd.read_json(tmp_path / "run" / "failures.jsonl", lines=True).error
    assert len(errors) == 2
    assert errors.str.contains(said, regex=False).all(), errors.tolist()
    last = frame.groupby("instance").status.last()
    assert last[last == "worker-died"].index.tolist() == DOOMED
    assert (last.drop(DOOMED) == "ok").all()


class Sound(Method):
    def predict_one(self, session):
        return np.ones(session.shape, np.float32)


class Unbuildable(Sound):
    """Can be built in the driver, which checks it, but not in a worker."""

    def __init__(self) -> None:
        if ray.get_runtime_context().worker.mode != ray.SCRIPT_MODE:
            raise UserError("weights.pth: not on this machine")


def test_a_method_that_cannot_be_built_on_a_worker_says_why(discs):
    with pytest.raises(UserError, match="weights.pth: not on this machine"):
        isegbench.run(Unbuildable, discs(2), executor="ray", workers=1)


class DeadlyToBuild(Sound):
    """Can be built in the driver; kills a worker that builds it."""

    def __init__(self) -> None:
        if ray.get_runtime_context().worker.mode != ray.SCRIPT_MODE:
            os.kill(os.getpid(), signal.SIGKILL)


def test_no_instance_is_blamed_for_a_method_that_dies_as_it_is_built(discs, tmp_path):
    with pytest.raises(UserError, match="workers die as they start or build their method"):
        isegbench.run(DeadlyToBuild, discs(2), executor="ray", workers=1, out=tmp_path)
    assert not read_traces(tmp_path).size


def test_data_errors_read_the_same_as_inline(tmp_path, discs):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(b"not a picture")
    (tmp_path / "masks" / "a.png").write_bytes(b"neither")
    errors = []
    for name in ("inline", "ray"):
        out = tmp_path / name
        isegbench.run("empty", f"folder:{tmp_path}", executor=name, workers=1, out=out)
        errors.append(pd.read_json(out / "failures.jsonl", lines=True).error.tolist())
    assert errors[0] == errors[1]
    assert "a.png" in errors[0][0]


def test_more_gpus_than_there_are_is_refused(discs, monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(UserError, match="--gpus-per-worker 5: the cluster has 0 GPU"):
        joining.connect(None, 1, [Resources(gpus=5)])


def test_starting_ray_is_tried_again_and_reaching_a_cluster_is_not(monkeypatch):
    tried = []

    def init(address, **options):
        tried.append(address)
        if address != "local" or len(tried) < 3:
            raise ConnectionError("the node timed out")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    joining.start(None, {})
    assert tried == ["local"] * 3
    with pytest.raises(
        UserError, match="cannot reach the Ray cluster at nowhere:1: the node timed"
    ):
        joining.start("nowhere:1", {})
    assert len(tried) == 4
