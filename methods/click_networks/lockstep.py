"""Searches that need answer after answer, run side by side so that the answers come together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Result = TypeVar("Result")


def in_lockstep(
    searches: Sequence[Callable[[Callable[[Question], Answer]], Result]],
    answer: Callable[[Mapping[int, Question]], Mapping[int, Answer]],
) -> list[Result]:
    """Run searches that each ask questions on the way to a result; the results, in order.

    A search is called with a function that answers its questions. A round begins when every search
    still running has asked: `answer` is then called with all their questions, by the index of the
    search, and gives an answer to each. It runs in the caller's thread, the searches in threads of
    their own; a search all alone runs in the caller's, too.

    What a search or `answer` raises is raised here as it is, and the other searches are stopped
    where they ask. When this function is left, none of its threads is.
    """
    if len(searches) == 1:
        return [searches[0](lambda question: answer({0: question})[0])]
    said: SimpleQueue[_Asked | _Ended | _Failed] = SimpleQueue()
    runners: list[_Runner] = []
    results: dict[int, Result] = {}
    try:
        for index, search in enumerate(searches):
            runner = _Runner(index, search, said)
            runner.start()
            runners.append(runner)
        running = len(runners)
        while running:
            # Each that runs says one thing and then waits, or is gone.
            questions = _hear(said, running, results)
            running = len(questions)
            answers = answer(questions) if questions else {}
            for index in questions:
                runners[index].answers.put(answers[index])
    finally:
        for runner in runners:
            runner.answers.put(_STOP)
        for runner in runners:
            runner.join()
    return [results[index] for index in range(len(searches))]


@dataclass(frozen=True)
class _Asked:
    index: int
    question: Any


@dataclass(frozen=True)
class _Ended:
    index: int
    result: Any


@dataclass(frozen=True)
class _Failed:
    error: BaseException


class _Stopped(BaseException):
    """Unwinds a search that nobody waits for any more; no `except Exception` may keep it."""


_STOP = object()


class _Runner(Thread):
    """A search in a thread. answers: to its questions, or _STOP."""

    def __init__(self, index: int, search: Callable[..., Any], said: "SimpleQueue") -> None:
        super().__init__(name=f"isegbench-search-{index}")
        self.answers: SimpleQueue[Any] = SimpleQueue()
        self._index, self._search, self._said = index, search, said

    def run(self) -> None:
        try:
            self._said.put(_Ended(self._index, self._search(self._ask)))
        except _Stopped:
            return
        except BaseException as error:
            self._said.put(_Failed(error))

    def _ask(self, question: Any) -> Any:
        self._said.put(_Asked(self._index, question))
        found = self.answers.get()
        if found is _STOP:
            self.answers.put(_STOP)
            raise _Stopped
        return found


def _hear(said: "SimpleQueue", count: int, results: dict[int, Any]) -> dict[int, Any]:
    """The questions among the next `count` things said, by index and in its order; results go to
    `results`. Raises what a search raised."""
    questions = {}
    for _ in range(count):
        heard = said.get()
        if isinstance(heard, _Asked):
            questions[heard.index] = heard.question
        elif isinstance(heard, _Ended):
            results[heard.index] = heard.result
        else:
            try:
                raise heard.error
            finally:
                # Or the error would hold itself, and all that the frames it went through hold.
                del heard
    return dict(sorted(questions.items()))
