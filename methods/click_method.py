"""What f-BRS and RITM share as methods: zoom-in, flip averaging, batches and BRS modes."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np
import torch
from torch import Tensor

from ..harness.errors import UserError
from ..harness.method import Method, Probabilities, Session
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
from .flip import average_mirrored, mirror_points, per_session, with_mirrored
from .nets.click_maps import Point, points_tensor
from .nets.click_network import ClickNetwork, Place
from .nets.inference import Execution, Kernels
from .transfers import to_device
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
#: BRS follows gradients click after click. Other last bits lead it elsewhere, the sooner the more
#: of the network they go through; where recorded evaluations would be left, it runs as loaded.
_KERNELS: dict[Mode, Kernels] = {"NoBRS": "last", "f-BRS-B": "first", "f-BRS-C": "first"}
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
    features: Features | None = None


@dataclass(frozen=True)
class Inputs:
    """What a network is given: (B, C, H, W) images and (B, 2N, 2) points, mirrored ones last."""

    images: Tensor
    points: Tensor
    clicks: list[list[Point]]


class ClickMethod(Method):
    """A method around a `ClickNetwork`. Subclasses load the network and prepare the image.

    side_by_side: BRS refines the sessions of a batch together. So it is on a GPU; on a CPU one
    after the other is faster, and gives what a session alone gives, to the last bit.
    """

    opening = "click"

    def __init__(
        self,
        network: ClickNetwork,
        *,
        mode: Mode,
        execution: Execution,
        zoom: ZoomIn | None,
        zoom_target: int | None,
        flip: bool,
        clicks_shown: int | None,
        brs: BrsSettings,
    ) -> None:
        """execution: where and how the network computes. zoom: None for none. zoom_target,
        clicks_shown: None for the released ones, which depend on the data set and on the mode.

        Raises UserError for BRS in low precision or compiled.
        """
        if mode != "NoBRS" and (execution.precision != "float32" or execution.compiled):
            raise UserError(
                f"mode={mode} computes in float32 and is not compiled: leave precision and "
                "compiled out, or use mode=NoBRS"
            )
        self.network = execution.ready(network, kernels=_KERNELS.get(mode, "loaded"))
        self.mode = mode
        self.execution = execution
        self.device = execution.device
        # On a CPU several threads that compute with torch get into each other's way.
        self.threaded = self.device.type != "cpu"
        self.zoom = zoom
        self.zoom_target = zoom_target
        self.flip = flip
        self.clicks_shown = CLICKS_SHOWN[mode] if clicks_shown is None else clicks_shown
        self.brs = brs
        self.threshold = brs.threshold
        self.side_by_side = self.device.type != "cpu"
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
        session.memory["click"] = _Memory(self.prepare(to_device(planes[None], self.device)))

    def batch_key(self, session: Session) -> Hashable:
        """The size of the network's next input."""
        return self.look(session).size

    @torch.no_grad()
    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        if self.mode == "NoBRS":
            inputs = self._inputs(sessions)
            with self.execution.computing():
                logits = self.logits(sessions, inputs)
            logits = self._averaged(logits.float()).split(1)
        else:
            logits = self._refined_in_groups(sessions)
        return [self._finish(*pair) for pair in zip(sessions, logits, strict=True)]

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
        clicks = self._clicks(sessions)
        if self.flip:
            images = with_mirrored(images)
        points = to_device(points_tensor(clicks, self.clicks_shown).numpy(), self.device)
        return Inputs(images, points, clicks)

    def _clicks(self, sessions: Sequence[Session]) -> list[list[Point]]:
        """The clicks in the sessions' views; those of the mirrored copies last."""
        views = [self.look(session) for session in sessions]
        clicks = [v.points(clicks_of(s)) for v, s in zip(views, sessions, strict=True)]
        if self.flip:
            pairs = zip(clicks, views, strict=True)
            clicks += [mirror_points(points, view.size[1]) for points, view in pairs]
        return clicks

    def _averaged(self, logits: Tensor) -> Tensor:
        return average_mirrored(logits) if self.flip else logits

    def _finish(self, session: Session, logits: Tensor) -> Tensor:
        """(1, 1, h, w) logits of a view -> (H, W) probabilities of the image."""
        full = self.look(session).paste(logits.sigmoid(), session.shape)
        # Interpolation may leave [0, 1] by a rounding error.
        return full[0, 0].clamp_(0, 1)

    def _refined_in_groups(self, sessions: Sequence[Session]) -> list[Tensor]:
        """(1, 1, h, w) logits of each session after BRS, in groups that can be refined together."""
        groups: dict[Hashable, list[int]] = {}
        for k, session in enumerate(sessions):
            # Features that stand may be of another size than the input they would now have.
            features = _memory(session).features if self._stand(session) else None
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
            clicks, size = self._clicks(sessions), self.look(sessions[0]).size
            clicked = click_squares(clicks, size, self.device, len(sessions))
            objective = Objective(
                network.take(moving), unpack, clicked.take(moving), self.brs, self.device
            )
            ends = refine(objective, [starts[k] for k in moving])
            for k, end in zip(moving, ends, strict=True):
                _memory(sessions[k]).variables = end
            logits.update(zip(moving, objective.best_logits, strict=True))
        return [self._averaged(logits[k]) for k in range(len(sessions))]

    def _on_features(self, sessions: Sequence[Session]) -> tuple[Changeable, Unpack, int]:
        """f-BRS: scales and biases of the features at a place, and how many numbers they are."""
        place, size = cast(Place, self.mode[-1]), self.look(sessions[0]).size
        network = ScaledFeatures(self.network, place, self._features(sessions, place), size)
        return network, unpack_scale_bias(self.brs), 2 * self.network.channels(place)

    def _features(self, sessions: Sequence[Session], place: Place) -> Features:
        """The features that stand, and those of the other sessions computed in one batch."""
        others = [k for k, session in enumerate(sessions) if not self._stand(session)]
        each = {k: _memory(session).features for k, session in enumerate(sessions)}
        if others:
            inputs = self._inputs([sessions[k] for k in others])
            rgb, maps = self.network.inputs(inputs.images, inputs.points)
            computed = self.network.before(rgb, maps, place)
            made = Features(*computed, len(others), self.look(sessions[0]).size)
            shown = self.clicks_shown
            for row, k in enumerate(others):
                keep = shown is not None and len(sessions[k].clicks) >= shown
                if keep or len(others) < len(sessions):
                    each[k] = made.take([row])
                _memory(sessions[k]).features = each[k] if keep else None
            if len(others) == len(sessions):
                return made
        return Features.join([features for features in each.values() if features is not None])

    def _stand(self, session: Session) -> bool:
        """Whether the features of the click before are those of this one.

        Clicks past the limit do not change the network's input, so the features stand: even, as
        released, where an emptied prediction makes the network look at the whole image.
        """
        shown, kept = self.clicks_shown, _memory(session).features
        hidden = shown is not None and len(session.clicks) > shown
        return hidden and kept is not None and not self.look(session).changed

    def _on_input(self, sessions: Sequence[Session]) -> tuple[Changeable, Unpack, int]:
        """BRS: a bias on the picture or on the click maps, and how many numbers it is."""
        on_picture = self.mode == "RGB-BRS"
        for session in sessions:
            if self.look(session).changed:
                _memory(session).variables = None
        inputs = self._inputs(sessions)
        rgb, maps = self.network.inputs(inputs.images, inputs.points)
        network = BiasedInput(self.network, on_picture, rgb, maps, len(sessions))
        shape = (3 if on_picture else 2, *inputs.images.shape[2:])
        return network, unpack_input(shape, self.flip, self.brs), int(np.prod(shape))


def clicks_of(session: Session) -> list[Point]:
    """A session's positive and negative clicks as (y, x, is_positive)."""
    return [
        (click.y, click.x, click.kind == "positive")
        for click in session.clicks
        if click.kind in ("positive", "negative")
    ]


def _memory(session: Session) -> _Memory:
    return session.memory["click"]


def _start(session: Session, count: int) -> np.ndarray:
    """What the session's search starts from: where the last one ended, if that fits."""
    variables = _memory(session).variables
    return np.zeros(count) if variables is None or variables.size != count else variables
