"""Click methods whose predictions BRS refines, in the modes of f-BRS's evaluation."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ...harness.errors import UserError
from ...harness.method import Session
from ..nets.click_network import ClickNetwork, Place
from ..processing.flip import per_session
from ..runtime.device import to_device
from ..runtime.execution import Execution, Kernels
from .brs import (
    BrsSettings,
    Changeable,
    Objective,
    Unpack,
    click_squares,
    refine,
    unpack_input,
    unpack_scale_bias,
)
from .brs_networks import BiasedInput, Features, ScaledFeatures
from .click_method import ClickMethod

Mode = Literal["NoBRS", "RGB-BRS", "DistMap-BRS", "f-BRS-A", "f-BRS-B", "f-BRS-C"]

#: How many of the first clicks the network is shown; the others act through BRS only.
CLICKS_SHOWN: dict[Mode, int | None] = {
    "NoBRS": None,
    "RGB-BRS": 5,
    "DistMap-BRS": 5,
    "f-BRS-A": 8,
    "f-BRS-B": 8,
    "f-BRS-C": 8,
}
#: BRS follows gradients click after click. Other last bits lead it elsewhere, the sooner the more
#: of the network they go through; where recorded evaluations would be left, it runs as loaded.
_KERNELS: dict[Mode, Kernels] = {"NoBRS": "last", "f-BRS-B": "first", "f-BRS-C": "first"}


@dataclass
class _Search:
    """A session's last search. variables: where it ended, for the next to start from. features:
    what it changed, kept where the next click does not change them."""

    variables: np.ndarray | None = None
    features: Features | None = None


class RefinedMethod(ClickMethod):
    """A `ClickMethod` with the modes of BRS.

    side_by_side: the sessions of a batch are refined together. So it is on a GPU; on a CPU one
    after the other is faster, and gives what a session alone gives, to the last bit.
    """

    def __init__(
        self,
        network: ClickNetwork,
        *,
        mode: Mode,
        execution: Execution,
        brs: BrsSettings,
        clicks_shown: int | None,
        **others: Any,
    ) -> None:
        """clicks_shown: None for the released number, which depends on the mode. others: as
        `ClickMethod` takes them.

        Raises UserError for BRS in low precision or compiled.
        """
        if mode != "NoBRS" and (execution.precision != "float32" or execution.compiled):
            raise UserError(
                f"mode={mode} computes in float32 and is not compiled: leave precision and "
                "compiled out, or use mode=NoBRS"
            )
        super().__init__(
            network,
            execution=execution,
            threshold=brs.threshold,
            clicks_shown=CLICKS_SHOWN[mode] if clicks_shown is None else clicks_shown,
            kernels=_KERNELS.get(mode, "loaded"),
            **others,
        )
        self.mode = mode
        self.brs = brs
        self.side_by_side = self.device.type != "cpu"

    def begin(self, session: Session) -> None:
        super().begin(session)
        session.memory["brs"] = _Search()

    def answers(self, sessions: Sequence[Session]) -> Sequence[Tensor]:
        if self.mode == "NoBRS":
            return super().answers(sessions)
        return self._refined_in_groups(sessions)

    def _refined_in_groups(self, sessions: Sequence[Session]) -> list[Tensor]:
        """(1, 1, h, w) logits of each session after BRS, in groups that can be refined together."""
        groups: dict[Hashable, list[int]] = {}
        for k, session in enumerate(sessions):
            # Features that stand may be of another size than the input they would now have.
            features = _search(session).features if self._stand(session) else None
            size = features.size if features else self.look(session).size
            groups.setdefault(size if self.side_by_side else k, []).append(k)
        logits: dict[int, Tensor] = {}
        for members in groups.values():
            found = self._refined([sessions[k] for k in members])
            logits.update(zip(members, found, strict=True))
        return [logits[k] for k in range(len(sessions))]

    def _refined(self, sessions: Sequence[Session]) -> list[Tensor]:
        """(1, 1, h, w) logits of each session after BRS."""
        features = self.mode.startswith("f-BRS")
        network, unpack, count = (self._on_features if features else self._on_input)(sessions)
        starts = [_start(session, count) for session in sessions]
        moving = [k for k, session in enumerate(sessions) if len(session.clicks) > 1]
        still = [k for k, session in enumerate(sessions) if len(session.clicks) <= 1]
        logits: dict[int, Tensor] = {}
        if still:
            flat = to_device(np.stack([starts[k] for k in still]).astype(np.float32), self.device)
            answer = network.take(still)(*unpack(flat)[0])
            logits.update(zip(still, per_session(answer, len(still)), strict=True))
        if moving:
            clicks, size = self.clicks(sessions), self.look(sessions[0]).size
            clicked = click_squares(clicks, size, self.device, len(sessions))
            objective = Objective(
                network.take(moving), unpack, clicked.take(moving), self.brs, self.device
            )
            ends = refine(objective, [starts[k] for k in moving])
            for k, end in zip(moving, ends, strict=True):
                _search(sessions[k]).variables = end
            logits.update(zip(moving, objective.best_logits, strict=True))
        return [self.averaged(logits[k]) for k in range(len(sessions))]

    def _on_features(self, sessions: Sequence[Session]) -> tuple[Changeable, Unpack, int]:
        """f-BRS: scales and biases of the features at a place, and how many numbers they are."""
        place, size = cast(Place, self.mode[-1]), self.look(sessions[0]).size
        network = ScaledFeatures(self.network, place, self._features(sessions, place), size)
        return network, unpack_scale_bias(self.brs), 2 * self.network.channels(place)

    def _features(self, sessions: Sequence[Session], place: Place) -> Features:
        """The features that stand, and those of the other sessions computed in one batch."""
        others = [k for k, session in enumerate(sessions) if not self._stand(session)]
        each = {k: _search(session).features for k, session in enumerate(sessions)}
        if others:
            inputs = self.inputs([sessions[k] for k in others])
            rgb, maps = self.network.inputs(inputs.images, inputs.points)
            values, carried = self.network.before(rgb, maps, place)
            separable = place != "A" and self.network.trunk.separable_end
            if separable and self.device.type == "cpu":
                # Evaluated again and again, and faster in this layout.
                values = values.contiguous(memory_format=torch.channels_last)
            made = Features(values, carried, len(others), self.look(sessions[0]).size)
            shown = self.clicks_shown
            for row, k in enumerate(others):
                keep = shown is not None and len(sessions[k].clicks) >= shown
                if keep or len(others) < len(sessions):
                    each[k] = made.take([row])
                _search(sessions[k]).features = each[k] if keep else None
            if len(others) == len(sessions):
                return made
        return Features.join([features for features in each.values() if features is not None])

    def _stand(self, session: Session) -> bool:
        """Whether the features of the click before are those of this one.

        Clicks past the limit do not change the network's input, so the features stand: even, as
        released, where an emptied prediction makes the network look at the whole image.
        """
        shown, kept = self.clicks_shown, _search(session).features
        hidden = shown is not None and len(session.clicks) > shown
        return hidden and kept is not None and not self.look(session).changed

    def _on_input(self, sessions: Sequence[Session]) -> tuple[Changeable, Unpack, int]:
        """BRS: a bias on the picture or on the click maps, and how many numbers it is."""
        on_picture = self.mode == "RGB-BRS"
        for session in sessions:
            if self.look(session).changed:
                _search(session).variables = None
        inputs = self.inputs(sessions)
        rgb, maps = self.network.inputs(inputs.images, inputs.points)
        network = BiasedInput(self.network, on_picture, rgb, maps, len(sessions))
        shape = (3 if on_picture else 2, *inputs.images.shape[2:])
        return network, unpack_input(shape, self.flip, self.brs), int(np.prod(shape))


def _search(session: Session) -> _Search:
    return session.memory["brs"]


def _start(session: Session, count: int) -> np.ndarray:
    """What the session's search starts from: where the last one ended, if that fits."""
    variables = _search(session).variables
    return np.zeros(count) if variables is None or variables.size != count else variables
