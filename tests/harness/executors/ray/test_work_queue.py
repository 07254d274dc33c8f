"""Who gets which work, without Ray: small jobs, and workers that are only counted."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.engine.session import Settings
from isegbench.harness.executors.ray.work_queue import Backlog
from isegbench.harness.types import Blob, InstanceRef


def job(method, count, batch_size=1, size=10, name="d"):
    refs = [
        InstanceRef(
            name, f"{name}{i}", f"{name}{i}", Blob(b"x" * (size + i)), Blob(b""), *2 * [None]
        )
        for i in range(count)
    ]
    plan: Any = SimpleNamespace(
        method=SimpleNamespace(name=method), refs=refs, settings=Settings(batch_size=batch_size)
    )
    return plan


def backlog(*jobs, piece_bytes=2**30):
    return Backlog(dict(enumerate(jobs)), piece_bytes)


def test_the_largest_image_of_the_data_set_with_the_largest_goes_first():
    small, large = job("m", 3, size=10, name="s"), job("m", 3, size=50, name="l")
    waiting = backlog(small, large)
    order = []
    while piece := waiting.next_piece("m", ["m"] * 50, 0):
        order += piece.refs
    assert order == ["l2", "l1", "l0", "s2", "s1", "s0"]


def test_pieces_take_a_second_and_are_single_instances_at_the_end():
    waiting = backlog(job("m", 100))
    sizes = []
    while piece := waiting.next_piece("m", ["m", "m"], 0):
        sizes.append(len(piece.refs))
        piece.done, piece.seconds, piece.refs = len(piece.refs), 0.1 * len(piece.refs), {}
        waiting.completed(piece)
    assert sizes[0] == 1, "nobody knows yet how long an instance takes"
    assert sizes[1] == 10, "a second of instances that take a tenth of it"
    assert sizes[-8:] == [1] * 8
    assert sum(sizes) == 100


def test_a_piece_never_holds_more_bytes_than_allowed():
    waiting = backlog(job("m", 100, batch_size=16, size=1000), piece_bytes=5000)
    piece = waiting.next_piece("m", ["m"], 0)
    assert sum(ref.image.size for ref in piece.refs.values()) <= 5000
    assert len(backlog(job("m", 1, size=9000), piece_bytes=5000).next_piece("m", ["m"], 0).refs)


def test_a_worker_keeps_to_its_method_and_a_free_one_goes_where_nobody_is():
    waiting = backlog(job("a", 50), job("b", 50))
    assert waiting.next_piece("b", ["b", None], 0).job == 1
    assert waiting.next_piece(None, ["b", None], 0).job == 0
    assert waiting.next_piece(None, [None, "a"], 0).job == 1


def test_a_worker_does_not_build_a_method_for_less_work_than_that_takes():
    waiting = backlog(job("a", 5), job("b", 0))
    waiting.built("a", 30.0)
    assert waiting.next_piece("b", ["a", "b"], 0) is None
    assert waiting.next_piece("b", ["b"], 0) is not None, "unless nobody else does"


def test_at_the_end_what_waits_is_for_who_is_free_first():
    waiting = backlog(job("m", 7))
    assert waiting.next_piece("m", ["m", "m"], 1) is None
    assert waiting.next_piece("m", ["m", "m"], 0) is not None


def test_only_what_may_have_been_begun_is_suspected():
    waiting = backlog(job("m", 5000, batch_size=16))
    piece = waiting.next_piece("m", ["m"], 0)
    assert waiting.begun(piece) >= len(piece.refs), "of unknown cost: all"
    piece.done, piece.seconds = 10, 5.0
    # Two batches and the threads' in the engine's pool, one coming; two more take a second.
    assert waiting.begun(piece) == 2 * 16 + 2 + 1 + 2


@dataclass
class Imaginary:
    """A worker: when it is free, what it has built."""

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
    """Simulated: whatever is lost comes back, and no worker idles while instances wait."""
    jobs = [job(f"m{n}", count, name=f"d{n}") for n, count in enumerate(counts)]
    waiting = backlog(*jobs)
    crew = [Imaginary() for _ in range(workers)]
    done, handed = [], 0
    while waiting.left:
        worker = min(crew, key=lambda one: one.free)
        piece = waiting.next_piece(worker.method, [one.method for one in crew], 0)
        assert piece is not None, "methods cost nothing to build here: there is always work"
        worker.method = waiting.method_of(piece)
        handed += 1
        if handed in lose:
            waiting.put_back(piece)
            continue
        piece.done, piece.seconds = len(piece.refs), costs[piece.job] * len(piece.refs)
        worker.free += piece.seconds
        done += [(piece.job, name) for name in piece.refs]
        piece.refs = {}
        waiting.completed(piece)
    assert sorted(done) == sorted((n, ref.name) for n, j in enumerate(jobs) for ref in j.refs)
    # Nobody works on after the others by more than one piece: about a second, or one instance.
    # The first pieces of a method are handed out before its cost is known.
    ends = [worker.free for worker in crew]
    assert max(ends) - min(ends) <= 1.0 + max(costs) + 1e-6


@pytest.mark.parametrize("held", [0, 1])
def test_nothing_is_left_of_nothing(held):
    assert backlog(job("m", 0)).next_piece(None, [None], held) is None
