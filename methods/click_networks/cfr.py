"""CFR: a click method's prediction fed back to it as previous mask, before the next click."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

import torch

from ...harness.engine.wrapped_method import WrappedMethod
from ...harness.method import Paper, Probabilities, Session
from ...harness.registry import methods

#: Masks that differ in no more pixels count as equal.
_SAME = 20


class CascadedRefinement(WrappedMethod):
    """Another click method, whose predictions are refined by predicting again.

    inner: the method, in the form of `--method` with ';' for ',' (`inner=ritm:weights=x;flip=no`);
    CFR does not change a method without a previous mask as input. steps: further predictions after
    the first one. clicks: after how many of the first clicks it is done. adaptive: stop where a
    prediction changed no more than 20 pixels.
    """

    paper = Paper(
        "CFR-ICL: Cascade-Forward Refinement with Iterative Click Loss for Interactive Image "
        "Segmentation",
        "Sun, Xian, Xu, Capriotti, Yao",
        2024,
        "https://arxiv.org/abs/2303.05620",
    )

    def __init__(self, inner: str, steps: int = 4, clicks: int = 1, adaptive: bool = True) -> None:
        super().__init__(methods.build(inner.replace(";", ",")))
        self.steps = steps
        self.clicks = clicks
        self.adaptive = adaptive
        self.paper = type(self).paper
        which = "first click" if clicks == 1 else f"first {clicks} clicks"
        most = "up to " if adaptive else ""
        again = f"predicts {most}{steps} times again after the {which}"
        self.departures = (*self.inner.departures, again)

    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        before = [session.previous for session in sessions]
        maps = list(self.inner.predict(sessions))
        active = [n for n, one in enumerate(sessions) if len(one.clicks) <= self.clicks]
        try:
            for _ in range(self.steps):
                for n in active:
                    sessions[n].previous = maps[n]
                refined = self._again(sessions, active)
                if self.adaptive:
                    active = [n for n in active if self._changed(maps[n], refined[n])]
                for n, found in refined.items():
                    maps[n] = found
        finally:
            for session, previous in zip(sessions, before, strict=True):
                session.previous = previous
        return maps

    def _again(
        self, sessions: Sequence[Session], active: Sequence[int]
    ) -> dict[int, Probabilities]:
        """A further prediction of each active session, by its place in `sessions`."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for n in active:
            groups[self.inner.batch_key(sessions[n])].append(n)
        found: dict[int, Probabilities] = {}
        for group in groups.values():
            maps = self.inner.predict([sessions[n] for n in group])
            found.update(zip(group, maps, strict=True))
        return found

    def _changed(self, old: Probabilities, new: Probabilities) -> bool:
        masks = (torch.as_tensor(each) > self.threshold for each in (old, new))
        return int(torch.ne(*masks).sum()) > _SAME
