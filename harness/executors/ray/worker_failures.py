"""Who died on what: which instances are tried again, and which are set aside."""

from collections.abc import Sequence

from ...errors import UserError
from ...planning.plan import Job
from ...types import InstanceRef, Trace

#: An instance whose worker died this often is set aside.
DEATHS = 2
#: So many deaths in a row, without one finished instance, are not the instances' fault.
_FRUITLESS = 50
#: The same for workers that die before they have built a method.
_STILLBORN = 5


class Deaths:
    """The deaths of a run's workers, and the instances they happened on."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._jobs = jobs
        self._of: dict[tuple[int, str], int] = {}
        self._fruitless = 0
        self._stillborn = 0
        self.count = 0
        self.retried = 0
        self.set_aside = 0
        self.problem = ""

    def fruit(self) -> None:
        """Something was finished: workers can work."""
        self._fruitless = self._stillborn = 0

    def record(self, error: BaseException | str, proven: bool, workers: int) -> None:
        """Count a death. Raises UserError when workers only die.

        proven: whether it had built a method. workers: how many there are.
        """
        self.count += 1
        self.problem = reason(error)
        self._fruitless += proven
        self._stillborn += not proven
        if self._stillborn >= _STILLBORN + workers:
            raise UserError(
                f"workers die as they start or build their method; the last one: {self.problem}. "
                "Nodes without this package get it with --ship-package, what it needs with a "
                "runtime environment"
            )
        if self._fruitless >= max(_FRUITLESS, 4 * workers):
            raise UserError(
                f"workers die before they finish anything; the last one: {self.problem}"
            )

    def note_lost_node(self, error: BaseException | str) -> None:
        """Count a worker that went with its node, for which nothing it did is to blame."""
        self.count += 1
        self.problem = reason(error)

    def again(self, count: int) -> None:
        """Instances go out once more through no fault of theirs."""
        self.retried += count

    def blame(self, number: int, ref: InstanceRef, alone: bool, hung: bool) -> Trace | None:
        """An instance's worker died on it: its trace, if that was the last time.

        alone: nobody else can have been to blame.
        """
        key = (number, ref.name)
        self._of[key] = self._of.get(key, 0) + 1
        if self._of[key] < DEATHS or not alone:
            self.retried += 1
            return None
        self.set_aside += 1
        job = self._jobs[number]
        did = "did not come back and was killed" if hung else "died"
        return Trace(
            job.method.name,
            ref.dataset,
            job.simulator_name,
            job.seed,
            ref.name,
            (),
            "timed-out" if hung else "worker-died",
            f"its worker {did} {self._of[key]} times: {self.problem}",
        )


def reason(error: BaseException | str) -> str:
    """An error in one line: of Ray's paragraphs, what says how the worker ended."""
    text = str(error).strip() or type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if "creation task" in lines[0]:
        return lines[-1]
    for line in lines:
        if "because" in line:
            return line.split(" Some common causes include")[0]
    return lines[0]
