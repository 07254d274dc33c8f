"""IOG with further clicks: the backbone runs once, each click runs only the layers after it."""

from collections.abc import Sequence
from typing import Any

import torch

from ...harness.method import Session
from ...harness.types import Click
from ..nets.iog_refine import Encoded, IOGRefineNet
from ..runtime.device import Device, to_device
from ..runtime.execution import Execution, Precision
from .checkpoint import read_weights
from .guidance import INSIDE, OUTSIDE, with_click
from .inside_outside import Backbone, ClickProtocol, InsideOutside, depth_of
from .iog import DEPARTURES
from .released_simulator import view_point

_DEPARTURES: dict[Any, tuple[str, ...]] = {
    "image": DEPARTURES["image"],
    "released": (
        *DEPARTURES["released"],
        "errors are judged in that crop; a click's kind is looked up with row and column exchanged",
        "the guidance is cut to whole numbers whenever a click is added",
    ),
}


class IOGRefine(InsideOutside):
    """Inside-Outside Guidance with corrections: IOG's opening, then clicks one by one.

    A positive click is added to the inside guidance, a negative one to the outside guidance. The
    session keeps what the network computes from the image and the opening alone. Parameters as
    for `iog`; the simulator `iog-released` plays the corrections of the released evaluation.
    """

    name = "iog-refine"

    def __init__(
        self,
        weights: str,
        *,
        backbone: Backbone | None = None,
        protocol: ClickProtocol = "image",
        threshold: float = 0.5,
        device: Device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        self.weights, saved = read_weights(weights, self.name)
        network = saved.network(IOGRefineNet, depth_of(backbone))
        execution = Execution.of(device, precision, compiled, channels_last)
        super().__init__(protocol, threshold, execution, network.side)
        self.departures = _DEPARTURES[protocol] + execution.departures
        # Channels last moves a click in a hundred, by a pixel or two.
        self.network = execution.ready(network, ["encode", "fine"], channels_last=False)

    def begin(self, session: Session) -> None:
        super().begin(session)
        session.memory["maps"] = session.memory["input"][3:].clone()
        session.memory["guidance"] = session.memory["maps"].cpu().numpy()
        session.memory["drawn"] = 0

    def batch_key(self, session: Session) -> str:
        """As for every session. Draws the session's clicks first."""
        self._draw(session)
        return super().batch_key(session)

    def _logits(self, sessions: Sequence[Session]) -> torch.Tensor:
        self._encode([session for session in sessions if "encoded" not in session.memory])
        for session in sessions:
            self._draw(session)
        encoded = Encoded.stack([session.memory["encoded"] for session in sessions])
        maps = torch.stack([session.memory["maps"] for session in sessions])
        return self.network.fine(encoded, maps)

    def _encode(self, sessions: Sequence[Session]) -> None:
        """Run the backbone for new sessions, and keep its output."""
        if not sessions:
            return
        encoded = self.network.encode(self._inputs(sessions))
        for session, part in zip(sessions, encoded.split(), strict=True):
            session.memory["encoded"] = part
            del session.memory["input"]

    def _draw(self, session: Session) -> None:
        """Add the clicks that came since the last prediction to the guidance."""
        memory, released = session.memory, self.protocol == "released"
        added = _corrections(session.clicks)[memory["drawn"] :]
        for click in added:
            point = view_point(click) if released else memory["view"].point(click.y, click.x)
            channel = INSIDE if click.kind == "positive" else OUTSIDE
            memory["guidance"] = with_click(memory["guidance"], point, channel, truncate=released)
        if added:
            memory["maps"] = to_device(memory["guidance"], self.device)
            memory["drawn"] += len(added)


def _corrections(clicks: Sequence[Click]) -> list[Click]:
    """The positive and negative clicks without the first positive one, which is the opening's."""
    points = [click for click in clicks if click.kind in ("positive", "negative")]
    first = next(i for i, click in enumerate(points) if click.kind == "positive")
    return points[:first] + points[first + 1 :]
