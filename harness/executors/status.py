"""What an executor tells of its workers while it runs."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class PoolStatus:
    """The workers of a run at one moment, and what has happened to them so far.

    alive: workers that have answered. wanted: workers asked for; those not alive are starting or
    wait for the cluster to have room. deaths: workers that died, were lost with their node, or
    hung and were killed. retried: instances handed out again because of that. set_aside:
    instances given up, as they killed or hung their worker twice. problem: the newest death in
    one line, "" when there was none.
    """

    alive: int = 0
    wanted: int = 0
    deaths: int = 0
    retried: int = 0
    set_aside: int = 0
    problem: str = ""


#: Called, in the thread that iterates over the traces, whenever the status has changed.
Watch = Callable[[PoolStatus], None]
