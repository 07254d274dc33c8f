"""What f-BRS and RITM share as methods: zoom-in, flip averaging, batches and BRS modes."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..harness.method import Method, Probabilities, Session
from .brs import BrsSettings, Objective, click_squares, refine, unpack_input, unpack_scale_bias
from .flip import average_mirrored, mirror_points, with_mirrored
from .nets.click_maps import Point, points_tensor
from .nets.click_network import ClickNetwork, Place
from .zoom_in import View, ZoomIn

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
#: The longest side of the zoomed input where the released evaluation departs from the default.
ZOOM_TARGETS = {"davis": 600}


@dataclass
class _Memory:
    """A session's memory. image: (1, 3, H, W) on the device. view: for so many `seen` clicks.

    variables and features belong to BRS: where the optimisation starts, and what it changes.
    """

    image: Tensor
    view: View | None = None
    seen: int = 0
    variables: np.ndarray | None = None
    features: tuple[Tensor, Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """What a network is given: (B, C, H, W) images and (B, 2N, 2) points, mirrored ones last."""

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
        mode: Mode,
        device: torch.device,
        zoom: ZoomIn | None,
        zoom_target: int | None,
        flip: bool,
        clicks_shown: int | None,
        brs: BrsSettings,
    ) -> None:
        """zoom: None for none. zoom_target, clicks_shown: None for the released ones, which
        depend on the data set and on the mode."""
        self.network = network.to(device).eval().requires_grad_(False)
        self.mode = mode
        self.device = device
        self.zoom = zoom
        self.zoom_target = zoom_target
        self.flip = flip
        self.clicks_shown = CLICKS_SHOWN[mode] if clicks_shown is None else clicks_shown
        self.brs = brs
        self.threshold = brs.threshold
        self.departures = tuple(self._departures())

    def _departures(self) -> Iterator[str]:
        """The settings of the authors' evaluation that others do not share."""
        if self.threshold != Method.threshold:
            yield f"object above {self.threshold:g}"
        if self.flip:
            yield "logits averaged with those of the mirrored image"
        if self.zoom is not None:
            yield self.zoom_departure(self.zoom)

    def zoom_departure(self, zoom: ZoomIn) -> str:
        """What to say of the zoom-in beside the numbers."""
        target = f"{self.zoom_target or zoom.target} pixels"
        special = [] if self.zoom_target else [f"{n} on {d}" for d, n in ZOOM_TARGETS.items()]
        longest = f"{target} ({', '.join(special)})" if special else target
        return f"zooms in from the second click on, longest side {longest}"

    def prepare(self, image: Tensor) -> Tensor:
        """(1, 3, H, W) uint8 RGB -> float32 as the network wants it."""
        raise NotImplementedError

    def begin(self, session: Session) -> None:
        planes = np.ascontiguousarray(session.image.transpose(2, 0, 1))
        session.memory["click"] = _Memory(
            self.prepare(torch.from_numpy(planes)[None].to(self.device))
        )

    def batch_key(self, session: Session) -> Hashable:
        """The size of the network's next input."""
        return self.look(session).size

    @torch.no_grad()
    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        if self.mode != "NoBRS":
            return [self._finish(session, self._refined(session)) for session in sessions]
        inputs = self._inputs(sessions)
        logits = self._averaged(self.logits(sessions, inputs))
        return [self._finish(s, logits[k : k + 1]) for k, s in enumerate(sessions)]

    def logits(self, sessions: Sequence[Session], inputs: Inputs) -> Tensor:
        """The network's answer, (B, 1, H, W). For methods whose network wants to know more."""
        return self.network(inputs.images, inputs.points)

    def look(self, session: Session) -> View:
        """What the network looks at next; the same until there is another click."""
        memory = _memory(session)
        if memory.view is None or memory.seen != len(session.clicks):
            memory.view = self._next_view(session, memory.view)
            memory.seen = len(session.clicks)
        return memory.view

    def zoom_for(self, session: Session) -> ZoomIn | None:
        """How to look closer on the session's data set; None for not at all."""
        if self.zoom is None:
            return None
        target = self.zoom_target or ZOOM_TARGETS.get(session.dataset, self.zoom.target)
        return replace(self.zoom, target=target)

    def _next_view(self, session: Session, last: View | None) -> View:
        zoom = self.zoom_for(session)
        if zoom is None:
            return View(None, None, session.shape, changed=False)
        roi = last.roi if last else None
        return zoom.look(session.shape, clicks_of(session), self.object_map(session), roi)

    def object_map(self, session: Session) -> Probabilities | None:
        """(H, W) probabilities whose box the zoom-in looks at; None before the first prediction."""
        return session.previous

    def _picture(self, session: Session) -> Tensor:
        """(1, 3 or 4, H, W): the image, with the previous probabilities where the network asks."""
        image = _memory(session).image
        if not self.network.sees_previous:
            return image
        previous = torch.zeros(session.shape, device=self.device)
        if session.previous is not None:
            previous = torch.as_tensor(session.previous, device=self.device)
        return torch.cat([image, previous[None, None]], dim=1)

    def _inputs(self, sessions: Sequence[Session]) -> Inputs:
        """The sessions' views as one batch; they must be of equal size."""
        views = [self.look(session) for session in sessions]
        images = torch.cat([v.take(self._picture(s)) for v, s in zip(views, sessions, strict=True)])
        clicks = [v.points(clicks_of(s)) for v, s in zip(views, sessions, strict=True)]
        if self.flip:
            images = with_mirrored(images)
            clicks += [mirror_points(points, images.shape[3]) for points in clicks]
        points = points_tensor(clicks, self.clicks_shown).to(self.device)
        return Inputs(images, points, clicks)

    def _averaged(self, logits: Tensor) -> Tensor:
        return average_mirrored(logits) if self.flip else logits

    def _finish(self, session: Session, logits: Tensor) -> Tensor:
        """(1, 1, h, w) logits of a view -> (H, W) probabilities of the image."""
        full = self.look(session).paste(logits.sigmoid(), session.shape)
        # Interpolation may leave [0, 1] by a rounding error.
        return full[0, 0].clamp_(0, 1)

    def _refined(self, session: Session) -> Tensor:
        """(1, 1, h, w) logits of one session after BRS."""
        memory, inputs = _memory(session), self._inputs([session])
        size = inputs.images.shape[2:]
        features = self.mode.startswith("f-BRS")
        objective, count = (self._on_features if features else self._on_input)(session, inputs)
        if memory.variables is None or memory.variables.size != count:
            memory.variables = np.zeros(count)
        if len(session.clicks) > 1:
            memory.variables = refine(objective, memory.variables)
        if objective.best_logits is not None:
            return self._averaged(objective.best_logits)
        start = torch.from_numpy(memory.variables).float().to(self.device)
        return self._averaged(objective.predict(*objective.unpack(start)[0])).view(1, 1, *size)

    def _objective(self, inputs: Inputs, predict: Any, unpack: Any) -> Objective:
        clicked = click_squares(inputs.clicks, inputs.images.shape[2:], self.device)
        return Objective(predict, unpack, clicked, self.brs, self.device)

    def _on_features(self, session: Session, inputs: Inputs) -> tuple[Objective, int]:
        """f-BRS: scales and biases of the features at a place, and how many numbers they are."""
        memory = _memory(session)
        place = cast(Place, self.mode[-1])
        shown, count = self.clicks_shown, len(session.clicks)
        # Clicks past the limit do not change the network's input, so the features stand: even,
        # as released, where an emptied prediction makes the network look at the whole image.
        fresh = shown is None or count <= shown or memory.features is None
        if fresh or self.look(session).changed:
            rgb, maps = self.network.inputs(inputs.images, inputs.points)
            features = self.network.before(rgb, maps, place)
        else:
            features = cast(tuple[Tensor, Any], memory.features)
        memory.features = features if shown is not None and count >= shown else None
        size, copies = inputs.images.shape[2:], len(inputs.images)

        def predict(scale: Tensor, bias: Tensor) -> Tensor:
            # Repeated, not broadcast: gradients then add up in the released code's order.
            scale, bias = (v.repeat(copies, 1, 1, 1) for v in (scale, bias))
            return self.network.after(features[0] * scale + bias, features[1], place, size)

        unpack = unpack_scale_bias(self.brs)
        return self._objective(inputs, predict, unpack), 2 * self.network.channels(place)

    def _on_input(self, session: Session, inputs: Inputs) -> tuple[Objective, int]:
        """BRS: a bias on the picture or on the click maps, and how many numbers it is."""
        on_picture = self.mode == "RGB-BRS"
        shape = (1, 3 if on_picture else 2, *inputs.images.shape[2:])
        if self.look(session).changed:
            _memory(session).variables = None
        rgb, maps = self.network.inputs(inputs.images, inputs.points)
        others, clicks = maps[:, :-2], maps[:, -2:]

        def predict(bias: Tensor) -> Tensor:
            picture, drawn = (rgb + bias, clicks) if on_picture else (rgb, clicks + bias)
            both = torch.cat([others, drawn], dim=1)
            features, carried = self.network.before(picture, both, "C")
            return self.network.after(features, carried, "C", picture.shape[2:])

        unpack = unpack_input(shape, self.flip, self.brs)
        return self._objective(inputs, predict, unpack), int(np.prod(shape))


def clicks_of(session: Session) -> list[Point]:
    """A session's positive and negative clicks as (y, x, is_positive)."""
    return [
        (click.y, click.x, click.kind == "positive")
        for click in session.clicks
        if click.kind in ("positive", "negative")
    ]


def _memory(session: Session) -> _Memory:
    return session.memory["click"]
