"""The base of f-BRS, RITM, FCFI and their kin: zoom-in, flip averaging and batches."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...harness.method import Method, Probabilities, Session
from ..nets.click_maps import Point, points_tensor
from ..nets.click_network import ClickNetwork
from ..processing.flip import average_mirrored, mirror_points, with_mirrored
from ..processing.zoom_in import ZoomedView, ZoomIn
from ..runtime.device import to_device
from ..runtime.execution import Execution

#: The longest side of the zoomed input where the released evaluation departs from the default.
ZOOM_TARGETS = {"davis": 600}


@dataclass
class _Memory:
    """A session's memory. image: (1, 3, H, W) on the device. view: made for the first
    `seen` clicks and the prediction `previous`."""

    image: Tensor
    view: ZoomedView | None = None
    seen: int = 0
    previous: Probabilities | None = None


@dataclass(frozen=True)
class Inputs:
    """The input of a network: (B, C, H, W) images and (B, 2N, 2) points, mirrored ones last."""

    images: Tensor
    points: Tensor
    clicks: list[list[Point]]


class ClickMethod(Method):
    """A method around a `ClickNetwork`. Subclasses load the network and prepare the image."""

    opening = "click"

    def __init__(
        self,
        network: ClickNetwork,
        *,
        execution: Execution,
        threshold: float,
        zoom: ZoomIn | None,
        zoom_target: int | None = None,
        flip: bool = True,
        clicks_shown: int | None = None,
        channels_last: bool = True,
    ) -> None:
        """execution: where and how the network computes; channels_last: if that leaves it open.
        threshold: what is object. zoom: None for none. zoom_target: None for the released one,
        which depends on the data set. flip: average with the mirror image. clicks_shown: how many
        of the first clicks are input of the network, None for all."""
        self.network = execution.ready(network, channels_last=channels_last)
        self.execution = execution
        self.device = execution.device
        self.zoom = zoom
        self.zoom_target = zoom_target
        self.flip = flip
        self.clicks_shown = clicks_shown
        self.threshold = threshold
        self.departures = tuple(self._departures())

    def _departures(self) -> Iterator[str]:
        """The settings of the authors' evaluation that others do not share."""
        if self.threshold != Method.threshold:
            yield f"object above {self.threshold:g}"
        if self.flip:
            yield "logits averaged with those of the mirrored image"
        if self.zoom is not None:
            yield self.zoom_departure(self.zoom)
        yield from self.execution.departures

    def zoom_departure(self, zoom: ZoomIn) -> str:
        """The footnote on the zoom-in."""
        target = f"{self.zoom_target or zoom.target} pixels"
        special = [] if self.zoom_target else [f"{n} on {d}" for d, n in ZOOM_TARGETS.items()]
        longest = f"{target} ({', '.join(special)})" if special else target
        return f"zooms in from the second click on, longest side {longest}"

    def prepare(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) uint8 RGB -> float32 as the network's input."""
        raise NotImplementedError

    def begin(self, session: Session) -> None:
        planes = np.ascontiguousarray(session.image.transpose(2, 0, 1))
        session.memory["click"] = _Memory(self.prepare(to_device(planes[None], self.device)))

    def batch_key(self, session: Session) -> Hashable:
        """The size of the network's next input."""
        return self.look(session).size

    @torch.no_grad()
    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        pairs = zip(sessions, self.answers(sessions), strict=True)
        return [self._finish(session, logits) for session, logits in pairs]

    def answers(self, sessions: Sequence[Session]) -> Sequence[Tensor]:
        """(1, 1, h, w) logits of each session's view."""
        inputs = self.inputs(sessions)
        with self.execution.computing():
            logits = self.logits(sessions, inputs)
        return self.averaged(logits.float()).split(1)

    def logits(self, sessions: Sequence[Session], inputs: Inputs) -> Tensor:
        """The network's answer, (B, 1, H, W). To be overridden for networks with more inputs."""
        return self.network(inputs.images, inputs.points)

    def look(self, session: Session) -> ZoomedView:
        """The view for the next prediction; the same until there is another click or prediction."""
        memory = _memory(session)
        seen = memory.seen == len(session.clicks) and memory.previous is session.previous
        if memory.view is None or not seen:
            memory.view = self._next_view(session, memory.view)
            memory.seen, memory.previous = len(session.clicks), session.previous
        return memory.view

    def zoom_for(self, session: Session) -> ZoomIn | None:
        """The zoom-in on the session's data set; None for none."""
        if self.zoom is None:
            return None
        target = self.zoom_target or ZOOM_TARGETS.get(session.dataset, self.zoom.target)
        return replace(self.zoom, target=target)

    def _next_view(self, session: Session, last: ZoomedView | None) -> ZoomedView:
        zoom = self.zoom_for(session)
        if zoom is None:
            return ZoomedView(None, None, session.shape, changed=False)
        roi = last.roi if last else None
        return zoom.look(session.shape, clicks_of(session), self.object_map(session), roi)

    def object_map(self, session: Session) -> Probabilities | None:
        """(H, W) probabilities whose box the zoom-in uses; None before the first prediction."""
        return session.previous

    def shown_previous(self, session: Session) -> Probabilities | None:
        """(H, W) previous probabilities as input of the network; None for zeros."""
        return session.previous

    def image_of(self, session: Session) -> Tensor:
        """(1, 3, H, W): the image as `prepare` made it."""
        return _memory(session).image

    def _picture(self, session: Session) -> Tensor:
        """(1, 3 or 4, H, W): the image, with the previous probabilities if they are an input."""
        image = _memory(session).image
        if not self.network.sees_previous:
            return image
        previous = torch.zeros(session.shape, device=self.device)
        shown = self.shown_previous(session)
        if shown is not None:
            previous = torch.as_tensor(shown, device=self.device)
        return torch.cat([image, previous[None, None]], dim=1)

    def inputs(self, sessions: Sequence[Session]) -> Inputs:
        """The sessions' views as one batch; they must be of equal size."""
        views = [self.look(session) for session in sessions]
        images = torch.cat([v.take(self._picture(s)) for v, s in zip(views, sessions, strict=True)])
        clicks = self.clicks(sessions)
        if self.flip:
            images = with_mirrored(images)
        points = to_device(points_tensor(clicks, self.clicks_shown).numpy(), self.device)
        return Inputs(images, points, clicks)

    def clicks(self, sessions: Sequence[Session]) -> list[list[Point]]:
        """The clicks in the sessions' views; those of the mirrored copies last."""
        views = [self.look(session) for session in sessions]
        clicks = [v.points(clicks_of(s)) for v, s in zip(views, sessions, strict=True)]
        if self.flip:
            pairs = zip(clicks, views, strict=True)
            clicks += [mirror_points(points, view.size[1]) for points, view in pairs]
        return clicks

    def averaged(self, logits: Tensor) -> Tensor:
        """(copies * N, 1, h, w) -> (N, 1, h, w): the mean with the mirrored copies, if any."""
        return average_mirrored(logits) if self.flip else logits

    def _finish(self, session: Session, logits: Tensor) -> Tensor:
        """(1, 1, h, w) logits of a view -> (H, W) probabilities of the image."""
        full = self.look(session).paste(logits.sigmoid(), session.shape)
        # Interpolation may leave [0, 1] by a rounding error.
        return full[0, 0].clamp_(0, 1)


def clicks_of(session: Session) -> list[Point]:
    """A session's positive and negative clicks as (y, x, is_positive)."""
    return [
        (click.y, click.x, click.kind == "positive")
        for click in session.clicks
        if click.kind in ("positive", "negative")
    ]


def _memory(session: Session) -> _Memory:
    return session.memory["click"]
