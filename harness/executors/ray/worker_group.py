"""The workers that occupy the same resources."""

import contextlib
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray

from ...planning.resources import Resources
from .work_queue import Backlog, Piece
from .worker import Hello, Worker


@dataclass(eq=False)
class Member:
    """A worker: its actor, what it has built, and the pieces it holds, the running one first.

    greeting: the reference to its first word. hello: that word; None while it starts, or waits
    for the cluster to have room. proven: it has built a method.
    """

    actor: Any
    greeting: Any
    hello: Hello | None = None
    proven: bool = False
    method: str | None = None
    pieces: deque[tuple[Any, Piece]] = field(default_factory=deque)


class Crew:
    """Workers of one shape, and the work that is theirs."""

    def __init__(self, shape: Resources, backlog: Backlog) -> None:
        self.shape = shape
        self.backlog = backlog
        self.members: list[Member] = []

    @property
    def alive(self) -> list[Member]:
        """The members that have answered."""
        return [member for member in self.members if member.hello]

    @property
    def busy(self) -> int:
        """How many instances are being worked on."""
        return sum(len(piece.refs) for member in self.members for _, piece in member.pieces)

    @property
    def finished(self) -> bool:
        """Whether nothing waits and nothing is being worked on."""
        return not self.backlog.left and not any(member.pieces for member in self.members)

    def recruit(self, wanted: int) -> None:
        """Ask for workers until there are as many as wanted and useful."""
        useful = min(wanted, self.backlog.left + self.busy)
        while len(self.members) < useful:
            actor = Worker.options(
                num_cpus=self.shape.cpus,
                num_gpus=self.shape.gpus or 0,
                memory=self.shape.memory,
                scheduling_strategy="SPREAD",
            ).remote(max(1, int(self.shape.cpus)))
            self.members.append(Member(actor, actor.hello.remote()))

    def release_idle(self) -> None:
        """Let those go that have nothing to do and get nothing: others may need their place."""
        if not self.backlog.left:
            for member in [m for m in self.members if not m.pieces]:
                self.dismiss(member)

    def dismiss(self, member: Member) -> None:
        """End a worker, dead or alive, and forget it."""
        self.members.remove(member)
        with contextlib.suppress(Exception):
            ray.kill(member.actor)
