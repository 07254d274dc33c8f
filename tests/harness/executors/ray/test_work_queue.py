"""The work queue without Ray: small jobs, and workers that are only counted."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.engine.session import Settings
from isegbench.harness.executors.ray.work_queue import Piece, WorkQueue
from isegbench.harness.types import Blob, InstanceRef


def never(*_: object) -> Any:
    raise AssertionError("the queue decodes nothing")


def job(method, count, batch_size=1, size=10, name="d"):
    refs = [
        InstanceRef(
            name, f"{name}{i}", f"{name}{i}", Blob(b"x" * (size + i)), Blob(b""), never, never
        )
        for i in range(count)
    ]
    plan: Any = SimpleNamespace(
        method=SimpleNamespace(name=method),
        refs=refs,
        settings=Settings(batch_size=batch_size),
        simulator_name="center",
        seed=0,
    )
    return plan


def queue_of(*jobs, piece_bytes=2**30):
    return WorkQueue(dict(enumerate(jobs)), piece_bytes)


def some_piece(queue, *asked) -> Piece:
    """The next piece; there is one."""
    piece = queue.next_piece(*asked)
    assert piece is not None
    return piece


def test_the_largest_image_of_the_data_set_with_the_largest_goes_first():
    small, large = job("m", 3, size=10, name="s"), job("m", 3, size=50, name="l")
    queue = queue_of(small, large)
    order = []
    while piece := queue.next_piece("m", ["m"] * 50, 0):
        order += piece.refs
    assert order == ["l2", "l1", "l0", "s2", "s1", "s0"]


def test_pieces_take_a_second_and_are_single_instances_at_the_end():
    queue = queue_of(job("m", 100))
    sizes = []
    while piece := queue.next_piece("m", ["m", "m"], 0):
        sizes.append(len(piece.refs))
        piece.done, piece.seconds, piece.refs = len(piece.refs), 0.1 * len(piece.refs), {}
        queue.completed(piece)
    assert sizes[0] == 1, "the cost of an instance is not known yet"
    assert sizes[1] == 10, "ten instances of 0.1 seconds"
    assert sizes[-8:] == [1] * 8
    assert sum(sizes) == 100


def test_a_piece_never_holds_more_bytes_than_allowed():
    queue = queue_of(job("m", 100, batch_size=16, size=1000), piece_bytes=5000)
    piece = some_piece(queue, "m", ["m"], 0)
    assert sum(ref.image.size for ref in piece.refs.values()) <= 5000
    queue = queue_of(job("m", 1, size=9000), piece_bytes=5000)
    assert len(some_piece(queue, "m", ["m"], 0).refs)


def test_a_worker_keeps_its_method_and_a_new_one_gets_the_method_without_workers():
    queue = queue_of(job("a", 50), job("b", 50))
    assert some_piece(queue, "b", ["b", None], 0).job == 1
    assert some_piece(queue, None, ["b", None], 0).job == 0
    assert some_piece(queue, None, [None, "a"], 0).job == 1


def test_a_worker_does_not_build_a_method_for_less_work_than_that_takes():
    queue = queue_of(job("a", 5), job("b", 0))
    queue.built("a", 30.0)
    assert queue.next_piece("b", ["a", "b"], 0) is None
    assert queue.next_piece("b", ["b"], 0) is not None, "unless no other worker is alive"


def test_near_the_end_only_workers_without_a_piece_get_one():
    queue = queue_of(job("m", 7))
    assert queue.next_piece("m", ["m", "m"], 1) is None
    assert queue.next_piece("m", ["m", "m"], 0) is not None


def test_only_instances_that_may_have_started_are_suspected():
    queue = queue_of(job("m", 5000, batch_size=16))
    piece = some_piece(queue, "m", ["m"], 0)
    assert queue.started(piece) >= len(piece.refs), "all, while their cost is unknown"
    piece.done, piece.seconds = 10, 5.0
    # Two batches, one for each thread, one being loaded; and two of 0.5 s that were not sent yet.
    assert queue.started(piece) == 2 * 16 + 2 + 1 + 2


def test_a_suspect_goes_only_to_a_worker_without_other_work():
    queue = queue_of(job("m", 100))
    piece = some_piece(queue, "m", ["m"], 0)
    name, ref = next(iter(piece.refs.items()))
    queue.put_back(Piece(0, {name: ref}, suspect=True))
    assert queue.next_piece("m", ["m"], 1) is None
    again = some_piece(queue, "m", ["m"], 0)
    assert again.suspect
    assert list(again.refs) == [name]
    assert not some_piece(queue, "m", ["m"], 1).suspect


@dataclass
class SimulatedWorker:
    """A worker: the time when it is free, and its method."""

    free: float = 0.0
    method: str | None = None
    pieces: list = field(default_factory=list)


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=4),
    costs=st.lists(st.floats(0.01, 3.0), min_size=4, max_size=4),
    workers=st.integers(1, 6),
    lose=st.sets(st.integers(0, 30)),
)
@settings(max_examples=60, deadline=None)
def test_everything_is_done_once_and_workers_end_together(counts, costs, workers, lose):
    """Simulated: lost pieces come back, and no worker is idle while instances wait."""
    jobs = [job(f"m{n}", count, name=f"d{n}") for n, count in enumerate(counts)]
    queue = queue_of(*jobs)
    pool = [SimulatedWorker() for _ in range(workers)]
    done, sent = [], 0
    while queue.remaining:
        worker = min(pool, key=lambda one: one.free)
        piece = queue.next_piece(worker.method, [one.method for one in pool], 0)
        assert piece is not None, "methods cost nothing to build here, so there is always work"
        worker.method = queue.method_of(piece)
        sent += 1
        if sent in lose:
            queue.put_back(piece)
            continue
        piece.done, piece.seconds = len(piece.refs), costs[piece.job] * len(piece.refs)
        worker.free += piece.seconds
        done += [(piece.job, name) for name in piece.refs]
        piece.refs = {}
        queue.completed(piece)
    assert sorted(done) == sorted((n, ref.name) for n, j in enumerate(jobs) for ref in j.refs)
    # A worker ends after the others by one piece at most: about a second, or one instance.
    # The first pieces of a method are sent before its cost is known.
    ends = [worker.free for worker in pool]
    assert max(ends) - min(ends) <= 1.0 + max(costs) + 1e-6


@pytest.mark.parametrize("pending", [0, 1])
def test_an_empty_job_has_no_pieces(pending):
    assert queue_of(job("m", 0)).next_piece(None, [None], pending) is None
