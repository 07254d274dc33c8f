"""Which instances are blamed for worker failures: simulated workers, without Ray."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError

from isegbench.harness.executors.ray import dispatch as dispatching
from isegbench.harness.executors.ray.dispatch import Dispatch
from isegbench.harness.executors.ray.worker import TracesFinished, WorkerStarted
from isegbench.harness.executors.ray.worker_failures import WorkerFailures
from isegbench.harness.executors.ray.worker_group import WorkerHandle
from isegbench.harness.planning.resources import Resources
from isegbench.harness.types import Trace

from .test_work_queue import job

WORK: Any = SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *_: object()))


@pytest.fixture
def one_worker(monkeypatch):
    """A run of one job; its workers are objects of this test."""

    def make(jobs, watch=None):
        payloads = SimpleNamespace(arguments=lambda job: (None, {}))
        monkeypatch.setattr(dispatching, "DriverPayloads", lambda *_: payloads)
        monkeypatch.setattr(dispatching, "with_bytes", lambda ref: ref)
        monkeypatch.setattr("ray.kill", lambda actor: None)
        monkeypatch.setattr(dispatching, "own_end", lambda *_: "Segmentation fault")
        cluster: Any = SimpleNamespace(
            room=lambda *_: 1, store_bytes=lambda: 2**30, lost=lambda node: False
        )
        dispatch = Dispatch(cluster, jobs, [Resources()] * len(jobs), 1, 1.0, watch)
        return dispatch, dispatch._groups[0]

    return make


def start(dispatch, group):
    handle = WorkerHandle(SimpleNamespace(work=WORK), None, WorkerStarted("node", ""))
    handle.has_built, handle.method = True, "m"
    group.workers.append(handle)
    return handle


def finish(dispatch, worker):
    """The first piece's messages arrive: its traces and its end."""
    piece = worker.pieces.popleft()[1]
    traces = [Trace("m", "d", "center", 0, name, (), "ok", "") for name in piece.refs]
    received = list(dispatch._receive_traces(TracesFinished(traces, 1.0), piece))
    dispatch._groups[0].queue.completed(piece)
    return received


def die(dispatch, group, worker):
    error = ActorDiedError()
    return list(dispatch._handle_failure(group, worker, error, dispatch._cause(worker, error)))


@pytest.mark.parametrize("killer", ["d10", "d5", "d0"])
def test_an_instance_whose_trace_is_lost_as_the_next_piece_kills_is_not_set_aside(
    one_worker, killer
):
    """Every worker finishes its first piece, but the trace is lost if the next piece kills it."""
    dispatch, group = one_worker([job("m", 12)])
    count, traces = 12, []
    for _ in range(20 * count):
        if group.finished:
            break
        worker = group.workers[0] if group.workers else start(dispatch, group)
        dispatch._send_work(group, worker)
        if any(killer in piece.refs for _, piece in worker.pieces):
            traces += die(dispatch, group, worker)
        else:
            traces += finish(dispatch, worker)
    status = {trace.instance: trace.status for trace in traces}
    assert len(traces) == len(status) == count
    assert [name for name, said in status.items() if said != "ok"] == [killer]
    assert status[killer] == "worker-died"


def tried(causes, alone=True):
    """The trace after worker failures of one instance, and how many it took."""
    plan = job("m", 1)
    failures = WorkerFailures([plan])
    for number, cause in enumerate(causes, 1):
        failures.record("Worker exit detail", True, 1)
        trace = failures.blame(0, plan.refs[0], alone, cause)
        if trace:
            return number, trace
    return None


def blamed(causes):
    """As `tried`, for an instance that is set aside."""
    found = tried(causes)
    assert found is not None
    return found


def test_two_crashes_and_five_kills_set_an_instance_aside():
    number, trace = blamed(["crashed"] * 9)
    assert number == 2
    assert trace.status == "worker-died"
    assert "crashed or left by itself 2 times" in str(trace.error)
    number, trace = blamed(["killed"] * 9)
    assert number == 5
    assert trace.status == "worker-died"
    assert "killed or stopped from outside (by a person, or for memory) 5 times" in str(trace.error)
    number, trace = blamed(["killed", "crashed", "killed", "hung"])
    assert number == 4
    assert trace.status == "timed-out"
    assert tried(["crashed"] * 9, alone=False) is None


def test_a_silent_worker_is_replaced_only_where_there_is_a_time_limit(one_worker):
    for limit, replaced in ((5.0, True), (None, False)):
        plan = job("m", 1)
        plan.settings = SimpleNamespace(batch_size=1, threads=1, time_limit=limit)
        dispatch, group = one_worker([plan])
        worker = start(dispatch, group)
        dispatch._send_work(group, worker)
        for _ in range(5):
            assert not list(dispatch._check_silence(group, worker, 2.0))
        assert group.workers == [worker], "10 s: the limit, three times the grace, and 2"
        assert not list(dispatch._check_silence(group, worker, 0.5))
        assert (not group.workers) == replaced
        assert group.queue.remaining == replaced
