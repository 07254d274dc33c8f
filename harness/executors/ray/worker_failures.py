"""Worker failures and the instances they happened on: which to try again, which to set aside."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from ...errors import UserError
from ...planning.plan import Job
from ...types import InstanceRef, Trace

#: What ended a worker: the method did not return, the process crashed or left by itself, or it was
#: killed or stopped from outside.
Cause = Literal["hung", "crashed", "killed"]

#: An instance is set aside after this many worker failures of its own making: crashes and hangs.
_MAX_OWN_FAILURES = 2
#: And after this many in all, kills from outside included: the system has too little memory, a
#: person kills a process.
_MAX_INSTANCE_FAILURES = 5
#: The run stops after this many worker failures in a row without one finished instance.
_MAX_FAILURES = 50
#: The same for workers that fail before they have built a method.
_MAX_BUILD_FAILURES = 5


class WorkerFailures:
    """Counts the worker failures of a run, in total and for each instance."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._of_instance: dict[tuple[int, str], Counter[str]] = {}
        self._in_a_row = 0
        self._builds_in_a_row = 0
        self.count = 0
        self.retried = 0
        self.set_aside = 0
        self.problem = ""

    def reset_streaks(self) -> None:
        """Note that a worker has finished an instance."""
        self._in_a_row = self._builds_in_a_row = 0

    def record(self, error: BaseException | str, has_built: bool, workers: int) -> None:
        """Count a worker failure. Raises UserError when too many follow each other.

        has_built: whether the worker had built a method. workers: how many workers there are.
        """
        self.count += 1
        self.problem = reason(error)
        self._in_a_row += has_built
        self._builds_in_a_row += not has_built
        if self._builds_in_a_row >= _MAX_BUILD_FAILURES + workers:
            raise UserError(
                "workers die as they start or build their method; the last failure: "
                f"{self.problem}. For nodes without isegbench use --ship-package, and a runtime "
                "environment for what it needs"
            )
        if self._in_a_row >= max(_MAX_FAILURES, 4 * workers):
            raise UserError(
                "workers die before they finish an instance; the last failure: " + self.problem
            )

    def record_lost_node(self, error: BaseException | str) -> None:
        """Count a worker that was lost with its node: no instance has caused that."""
        self.count += 1
        self.problem = reason(error)

    def count_retries(self, instances: int) -> None:
        """Count instances that go back to the queue without being blamed."""
        self.retried += instances

    def blame(self, number: int, ref: InstanceRef, alone: bool, cause: Cause) -> Trace | None:
        """Blame a failure on an instance: its trace if it is set aside, None if it is tried again.

        number: of its job. alone: the worker held no other instance, so no other can have been
        the cause.
        """
        causes = self._of_instance.setdefault((number, ref.name), Counter())
        causes[cause] += 1
        own = causes.total() - causes["killed"]
        enough = own >= _MAX_OWN_FAILURES or causes.total() >= _MAX_INSTANCE_FAILURES
        if not (enough and alone):
            self.retried += 1
            return None
        self.set_aside += 1
        job = self._jobs[number]
        return Trace(
            job.method.name,
            ref.dataset,
            job.simulator_name,
            job.seed,
            ref.name,
            (),
            "timed-out" if cause == "hung" else "worker-died",
            f"{_history(causes)}; the last time: {self.problem}",
        )


def _history(causes: Counter[str]) -> str:
    """What happened to the workers of an instance, in words."""
    words = {
        "hung": "did not come back and was killed",
        "crashed": "crashed or left by itself",
        "killed": "was killed or stopped from outside (by a person, or for memory)",
    }
    parts = [
        f"{words[cause]} {count} time{'s' if count > 1 else ''}" for cause, count in causes.items()
    ]
    return "its worker " + ", ".join(parts)


def reason(error: BaseException | str) -> str:
    """An error in one line: the line of Ray's message that says how the worker ended."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "creation task" in lines[0]:
        return lines[-1]
    for line in lines:
        if "because" in line:
            return line.split(" Some common causes include")[0]
    return lines[0]
