import gc
import threading
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fmin_l_bfgs_b, rosen, rosen_der

from isegbench.methods.click_networks.lockstep import in_lockstep

pytestmark = pytest.mark.timeout(60)

STARTS = [np.array(start) for start in ([-1.2, 1.0], [1.0, 1.0], [0.0, 3.0], [2.0, -1.0])]


@pytest.fixture(autouse=True)
def no_thread_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) == before


def minimise(start):
    def search(evaluate):
        return fmin_l_bfgs_b(evaluate, start, m=5)

    return search


def test_each_search_goes_exactly_as_it_goes_alone():
    rounds = []

    def evaluate(points):
        rounds.append(list(points))
        return {k: (rosen(x), rosen_der(x)) for k, x in points.items()}

    found = in_lockstep([minimise(start) for start in STARTS], evaluate)
    counts = []
    for start, (end, value, how) in zip(STARTS, found, strict=True):
        alone, least, expected = fmin_l_bfgs_b(rosen, start, rosen_der, m=5)
        np.testing.assert_array_equal(end, alone)
        assert value == least
        assert how["funcalls"] == expected["funcalls"]
        counts.append(expected["funcalls"])
    assert len(set(counts)) > 2
    every = range(len(STARTS))
    assert rounds == [[n for n in every if k < counts[n]] for k in range(max(counts))]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 6), max_size=6))
def test_any_number_of_searches_of_any_length(lengths):
    """Search k asks lengths[k] times what k plus its last answer is, starting from 0."""

    def counting(k):
        def search(ask):
            total = 0
            for _ in range(lengths[k]):
                total = ask((k, total))
            return total

        return search

    rounds = []

    def answer(questions):
        rounds.append(list(questions))
        return {index: k + total for index, (k, total) in questions.items()}

    found = in_lockstep([counting(k) for k in range(len(lengths))], answer)
    assert found == [k * many for k, many in enumerate(lengths)]
    longest = max(lengths, default=0)
    assert rounds == [
        [k for k, many in enumerate(lengths) if turn < many] for turn in range(longest)
    ]


def test_answers_are_computed_in_the_caller_s_thread_and_one_search_is_run_there_too():
    threads = []

    def search(ask):
        threads.append(threading.get_ident())
        return ask(None)

    def answer(questions):
        threads.append(threading.get_ident())
        return dict.fromkeys(questions, "answer")

    here = threading.get_ident()
    assert in_lockstep([search], answer) == ["answer"]
    assert threads == [here, here]
    threads.clear()
    assert in_lockstep([search, search], answer) == ["answer", "answer"]
    assert threads[2] == here
    assert here not in threads[:2]


class Wrong(Exception):
    pass


def patient(ask):
    """A search that would ask for ever, and that no ordinary exception stops."""
    while True:
        try:
            ask(None)
        except Exception:
            continue


def answer_none(questions):
    return dict.fromkeys(questions)


@pytest.mark.parametrize("after", [0, 1, 3])
def test_what_a_search_raises_is_raised_and_stops_the_others(after):
    wrong = Wrong("here")

    def failing(ask):
        for _ in range(after):
            ask(None)
        raise wrong

    with pytest.raises(Wrong) as caught:
        in_lockstep([patient, failing, patient], answer_none)
    assert caught.value is wrong


def test_where_all_fail_one_failure_is_raised():
    def failing(ask):
        ask(None)
        raise Wrong

    with pytest.raises(Wrong):
        in_lockstep([failing] * 4, answer_none)


@pytest.mark.parametrize("error", [Wrong("here"), MemoryError("full"), KeyboardInterrupt()])
def test_what_the_answering_raises_is_raised_as_it_is(error):
    turns = []

    def answer(questions):
        turns.append(len(questions))
        if len(turns) == 3:
            raise error
        return answer_none(questions)

    for searches in ([patient, patient], [lambda ask: [ask(None) for _ in range(5)]]):
        turns.clear()
        with pytest.raises(type(error)) as caught:
            in_lockstep(searches, answer)
        assert caught.value is error


def test_a_question_left_without_an_answer_is_an_error_and_nobody_waits():
    with pytest.raises(KeyError):
        in_lockstep([patient, patient], lambda questions: {0: None})


def test_a_thread_that_cannot_be_started_leaves_none_behind(monkeypatch):
    start, started = threading.Thread.start, []

    def limited(thread):
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    with pytest.raises(RuntimeError, match="can't start"):
        in_lockstep([patient] * 3, answer_none)


class Held:
    """Stands for a tensor on the device."""


@pytest.mark.parametrize("where", ["search", "answer"])
def test_once_an_error_is_gone_so_is_what_the_batch_held(where):
    """Without the garbage collector, which knows nothing of a device's memory."""

    def predict():
        held = Held()
        references.append(weakref.ref(held))

        def answer(questions):
            if where == "answer" and questions:
                raise Wrong
            return dict.fromkeys(questions, id(held))

        def failing(ask):
            ask(None)
            raise Wrong

        in_lockstep([patient, failing, failing], answer)

    references = []
    gc.collect()
    gc.disable()
    try:
        with pytest.raises(Wrong):
            predict()
        assert references[0]() is None
    finally:
        gc.enable()
