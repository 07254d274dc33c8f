"""How fast a run goes and when it will be done: counting, without any display."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..planning.plan import Job
from ..types import Trace

#: A method on a data set.
Pair = tuple[str, str]

#: What arrives within so many seconds is counted together.
_MOMENT_SECONDS = 0.25
#: Speed is that of the last so many seconds, and of the last so many moments at least.
_WINDOW_SECONDS = 120.0
_WINDOW_MOMENTS = 20


class Arrivals:
    """Amounts that arrive over time, and their present rate.

    What comes at about the same moment is kept together. The first moment sets the clock, and
    what came with it is not counted.
    """

    def __init__(self) -> None:
        self._moments: deque[_Moment] = deque()
        self._total = 0.0

    def add(self, now: float, amount: float) -> None:
        """Something arrived at `now`, in seconds."""
        self._total += amount
        if self._moments and now - self._moments[-1].began < _MOMENT_SECONDS:
            self._moments[-1].ended = now
            self._moments[-1].amount += amount
            return
        self._moments.append(_Moment(now, now, amount))
        while len(self._moments) > _WINDOW_MOMENTS:
            if self._moments[0].ended > now - _WINDOW_SECONDS:
                break
            self._total -= self._moments.popleft().amount

    @property
    def newest(self) -> float:
        """When the last thing arrived."""
        return self._moments[-1].ended if self._moments else 0.0

    def rate(self, now: float) -> float | None:
        """Amount a second, down to `now`; None before it can be told."""
        if len(self._moments) < 2 or now <= self._moments[0].ended:
            return None
        first = self._moments[0]
        return max(0.0, self._total - first.amount) / (now - first.ended) or None


@dataclass
class _Moment:
    began: float
    ended: float
    amount: float


class Pace:
    """What is done of each method and data set, at which rate, and how long the rest will take.

    Traces that were there before the run was resumed are not part of it. The whole run's end is
    estimated in seconds of work: what a pair's traces have taken so far is what its others will,
    and as much work is done a second as of late, by however many workers there are.
    """

    def __init__(self, jobs: Sequence[Job], clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.planned: Counter[Pair] = Counter()
        self.done: Counter[Pair] = Counter()
        self.failed: Counter[Pair] = Counter()
        for job in jobs:
            self.planned[(job.method.name, job.dataset_name)] += len(job.refs)
        self._arrived: dict[Pair, Arrivals] = {pair: Arrivals() for pair in self.planned}
        self._traces, self._work = Arrivals(), Arrivals()
        self._spent: dict[Pair, float] = dict.fromkeys(self.planned, 0.0)

    def add(self, trace: Trace) -> None:
        """Count one finished trace."""
        pair, now = (trace.method, trace.dataset), self._clock()
        seconds = sum(step.step_seconds or 0.0 for step in trace.steps)
        self.done[pair] += 1
        self.failed[pair] += trace.status != "ok"
        self._spent[pair] += seconds
        self._arrived[pair].add(now, 1)
        self._traces.add(now, 1)
        self._work.add(now, seconds)

    def rate(self, pair: Pair | None = None) -> float | None:
        """Traces a second, of one pair or of all; None before it can be told."""
        if pair is None:
            complete, arrived = self.done.total() == self.planned.total(), self._traces
        else:
            complete, arrived = self.done[pair] == self.planned[pair], self._arrived[pair]
        return arrived.rate(arrived.newest if complete else self._clock())

    def seconds_left(self, pair: Pair | None = None) -> float | None:
        """Until a pair, or everything, is done at the present rate; None before it can be told."""
        if pair is not None:
            rate, left = self.rate(pair), self.planned[pair] - self.done[pair]
            return left / rate if rate else None
        left = {pair: self.planned[pair] - self.done[pair] for pair in self.planned}
        speed = self._work.rate(self._clock())
        if speed is None:
            rate = self.rate()
            return sum(left.values()) / rate if rate else None
        return sum(self._each(pair) * count for pair, count in left.items() if count) / speed

    def _each(self, pair: Pair) -> float:
        """Seconds of work in a trace: of this pair, else of its method, else of any."""
        method = [other for other in self.planned if other[0] == pair[0]]
        for kin in ([pair], method, list(self.planned)):
            done = sum(self.done[one] for one in kin)
            if done:
                return sum(self._spent[one] for one in kin) / done
        return 0.0
