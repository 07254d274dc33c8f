"""Click methods whose predictions BRS refines, in the modes of f-BRS's evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from torch import Tensor

from ...harness.errors import UserError
from ...harness.method import Session
from ..nets.click_network import ClickNetwork, Place
from ..runtime.device import to_device
from ..runtime.execution import Execution
from .brs import (
    BrsSettings,
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

#: How many of the first clicks are input of the network; the others act through BRS only.
CLICKS_SHOWN: dict[Mode, int | None] = {
    "NoBRS": None,
    "RGB-BRS": 5,
    "DistMap-BRS": 5,
    "f-BRS-A": 8,
    "f-BRS-B": 8,
    "f-BRS-C": 8,
}


@dataclass
class _Search:
    """A session's last search. variables: its end, from which the next one starts. features:
    those that it changed, kept if the next click leaves them as they are."""

    variables: np.ndarray | None = None
    features: Features | None = None


class RefinedMethod(ClickMethod):
    """A `ClickMethod` with the modes of BRS. BRS refines the sessions of a batch one by one."""

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
            # BRS amplifies rounding errors: another layout changes recorded clicks.
            channels_last=mode == "NoBRS",
            **others,
        )
        self.mode = mode
        self.brs = brs

    def begin(self, session: Session) -> None:
        super().begin(session)
        session.memory["brs"] = _Search()

    def answers(self, sessions: Sequence[Session]) -> Sequence[Tensor]:
        if self.mode == "NoBRS":
            return super().answers(sessions)
        return [self._refined(session) for session in sessions]

    def _refined(self, session: Session) -> Tensor:
        """(1, 1, h, w) logits after BRS; after the first click those of the network alone."""
        on_features = self.mode.startswith("f-BRS")
        prepared = self._on_features(session) if on_features else self._on_input(session)
        network, unpack, count = prepared
        start = _start(session, count)
        if len(session.clicks) > 1:
            clicked = click_squares(self.clicks([session]), self.look(session).size, self.device)
            objective = Objective(network, unpack, clicked, self.brs, self.device)
            _search(session).variables = refine(objective, start)
            return self.averaged(objective.best_logits)
        variables, _ = unpack(to_device(start.astype(np.float32), self.device))
        return self.averaged(network(*variables))

    def _on_features(self, session: Session) -> tuple[ScaledFeatures, Unpack, int]:
        """f-BRS: scales and biases of the features at a place, and their number."""
        place = cast(Place, self.mode[-1])
        features = self._features(session, place)
        network = ScaledFeatures(self.network, place, features, self.look(session).size)
        return network, unpack_scale_bias(self.brs), 2 * self.network.channels(place)

    def _features(self, session: Session, place: Place) -> Features:
        """The features at a place: the cached ones if they are reusable, else computed."""
        search = _search(session)
        if search.features is not None and self._features_reusable(session):
            return search.features
        inputs = self.inputs([session])
        rgb, maps = self.network.inputs(inputs.images, inputs.points)
        features = Features(*self.network.before(rgb, maps, place))
        shown = self.clicks_shown
        keep = shown is not None and len(session.clicks) >= shown
        search.features = features if keep else None
        return features

    def _features_reusable(self, session: Session) -> bool:
        """Whether the last click's cached features are still valid: the click is beyond
        `clicks_shown` and the crop is unchanged.

        As released, they also count as valid after an emptied prediction, when the view is the
        whole image.
        """
        shown = self.clicks_shown
        hidden = shown is not None and len(session.clicks) > shown
        return hidden and not self.look(session).changed

    def _on_input(self, session: Session) -> tuple[BiasedInput, Unpack, int]:
        """BRS: a bias on the picture or on the click maps, and how many numbers it is."""
        on_picture = self.mode == "RGB-BRS"
        if self.look(session).changed:
            _search(session).variables = None
        inputs = self.inputs([session])
        network = BiasedInput(
            self.network, on_picture, *self.network.inputs(inputs.images, inputs.points)
        )
        shape = (3 if on_picture else 2, *inputs.images.shape[2:])
        return network, unpack_input(shape, self.flip, self.brs), int(np.prod(shape))


def _search(session: Session) -> _Search:
    return session.memory["brs"]


def _start(session: Session, count: int) -> np.ndarray:
    """(count,) float64: where the session's last search ended if the size fits, else zeros."""
    variables = _search(session).variables
    return np.zeros(count) if variables is None or variables.size != count else variables
