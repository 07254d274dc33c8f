"""FocalClick: a coarse prediction of the object's box, then a finer one about the newest click."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper, Probabilities, Session
from ...harness.types import Box
from ..nets.click_maps import Point, points_tensor
from ..nets.focalclick import FocalNetwork, focalclick_network, refined
from ..nets.resize import resize
from ..processing.fixed_size import every_click
from ..processing.focus_crop import focus_box, merged
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device, to_device
from ..runtime.execution import Execution, Precision
from .click_method import ClickMethod, clicks_of

#: What counts as object in the rule of the focus box: of probabilities before the click, and, as
#: in the released code, of the new coarse logits.
_FOCUS_THRESHOLD = 0.49
#: After so many clicks the map outside the focus box does not change.
_SETTLED = 10


@dataclass
class _Memory:
    """shown: (H, W) the network's previous mask. kept: (H, W) bool, the mask so far,
    where the session began with one. focus: the newest focus box."""

    shown: Tensor | None = None
    kept: np.ndarray | None = None
    focus: Box | None = None


class FocalClick(ClickMethod):
    """HRNet + OCR or SegFormer with clicks as disks and its previous mask as input, and a refiner.

    The coarse network's input is the box of the last mask and the positive clicks, the refiner's is
    a box around what the newest click changes. If a session begins with a `previous` map, it
    starts from that mask: every prediction then changes only the component at the click, and is
    0 or 1. threshold: None is the released one, 0.49 of HRNet and 0.5 of SegFormer. side: of the
    square that the box is resized to, in pixels. precision, compiled, channels_last: see `iog`.
    """

    paper = Paper(
        "FocalClick: Towards Practical Interactive Image Segmentation",
        "Chen, Zhao, Zhang, Duan, Qi, Zhao",
        2022,
        "https://arxiv.org/abs/2204.02574",
    )

    network: FocalNetwork  # type: ignore[assignment]

    def __init__(
        self,
        weights: str,
        device: Device = "auto",
        side: int = 256,
        threshold: float | None = None,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "focalclick")
        network = focalclick_network(load_checkpoint(file.path), str(file.path))
        super().__init__(
            network,  # type: ignore[arg-type]
            execution=Execution.of(device, precision, compiled, channels_last),
            threshold=network.released_threshold if threshold is None else threshold,
            zoom=every_click(side),
            flip=False,
        )
        self.side = side
        self.weights = file

    def zoom_departure(self, zoom: ZoomIn) -> str:
        side = f"{zoom.target} x {zoom.target}"
        return f"looks at the last mask's box, then about the newest click, both resized to {side}"

    def zoom_for(self, session: Session) -> ZoomIn | None:
        return self.zoom

    def prepare(self, image: Tensor) -> Tensor:
        return image.float().div(255)

    def begin(self, session: Session) -> None:
        super().begin(session)
        memory = session.memory["focalclick"] = _Memory()
        if session.previous is not None:
            memory.kept = _array(session.previous) > self.threshold
            memory.shown = to_device(memory.kept.astype(np.float32), self.device)

    def shown_previous(self, session: Session) -> Probabilities | None:
        return _memory(session).shown

    @torch.no_grad()
    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        inputs = self.inputs(sessions)
        with self.execution.computing():
            coarse, features = self.network.coarse(inputs.images, inputs.points)
        coarse = coarse.float()
        full = [
            self._full_logits(session, logits)
            for session, logits in zip(sessions, coarse.split(1), strict=True)
        ]
        boxes = [
            self._focus(session, logits) for session, logits in zip(sessions, full, strict=True)
        ]
        pairs = list(zip(sessions, boxes, strict=True))
        images = torch.cat([self._close_up(session, box) for session, box in pairs])
        clicks = [_moved(clicks_of(session), box, self.side) for session, box in pairs]
        points = to_device(points_tensor(clicks).numpy(), self.device)
        rois = torch.tensor([self._in_view(session, box) for session, box in pairs])
        with self.execution.computing():
            finer, _, _ = refined(
                self.network.refiner, images, points, features, coarse, rois.to(self.device)
            )
        parts = zip(sessions, full, boxes, finer.float().split(1), strict=True)
        return [self._answer(*part) for part in parts]

    def _full_logits(self, session: Session, coarse: Tensor) -> Tensor:
        """(1, 1, side, side) logits of a view -> (1, 1, H, W), minus infinity outside of it."""
        pasted = self.look(session).paste(coarse.sigmoid(), session.shape)
        return torch.log(pasted / (1 - pasted))

    def _focus(self, session: Session, logits: Tensor) -> Box:
        """The box around what the newest click changes."""
        memory = _memory(session)
        mask = (logits[0, 0] > _FOCUS_THRESHOLD).cpu().numpy()
        previous = np.zeros_like(mask)
        if memory.shown is not None:
            previous = (memory.shown > _FOCUS_THRESHOLD).cpu().numpy()
        memory.focus = focus_box(mask, previous, _newest(session), self._seen(session))
        return memory.focus

    def _seen(self, session: Session) -> Box:
        """The part of the image that the coarse prediction is of."""
        roi = self.look(session).roi
        if roi is None:
            return Box(0, 0, session.shape[0] - 1, session.shape[1] - 1)
        rows, columns = roi.slices
        return Box(rows.start, columns.start, rows.stop - 1, columns.stop - 1)

    def _close_up(self, session: Session, box: Box) -> Tensor:
        """(1, 3, side, side): the image inside a box."""
        image = self.image_of(session)
        return resize(image[(..., *box.slices)], (self.side, self.side))

    def _in_view(self, session: Session, box: Box) -> list[float]:
        """x1, y1, x2, y2 of a box in the pixels of the coarse network's input."""
        seen = self._seen(session)
        down, across = self.side / seen.height, self.side / seen.width
        top, left = (box.top - seen.top) * down, (box.left - seen.left) * across
        bottom, right = top + box.height * down, left + box.width * across
        return [
            max(left, 0.0),
            max(top, 0.0),
            min(right, float(self.side)),
            min(bottom, float(self.side)),
        ]

    def _answer(self, session: Session, logits: Tensor, box: Box, finer: Tensor) -> Tensor:
        """The (H, W) probabilities, from the coarse logits and those of the focus box."""
        memory = _memory(session)
        if len(clicks_of(session)) > _SETTLED and memory.shown is not None:
            logits = torch.log(memory.shown / (1 - memory.shown))[None, None]
        logits[(..., *box.slices)] = resize(finer, (box.height, box.width))
        memory.shown = logits.sigmoid()[0, 0]
        if memory.kept is None:
            return memory.shown
        new = (memory.shown > self.threshold).cpu().numpy()
        memory.kept = merged(new, memory.kept, _newest(session))
        return to_device(memory.kept.astype(np.float32), self.device)


def _moved(clicks: Sequence[Point], box: Box, side: int) -> list[Point]:
    """Clicks in the coordinates of a box resized to side x side."""
    down, across = side / box.height, side / box.width
    return [((y - box.top) * down, (x - box.left) * across, sign) for y, x, sign in clicks]


def _newest(session: Session) -> tuple[int, int]:
    y, x, _ = clicks_of(session)[-1]
    return round(y), round(x)


def _array(probabilities: Probabilities) -> np.ndarray:
    return torch.as_tensor(probabilities).cpu().numpy()


def _memory(session: Session) -> _Memory:
    return session.memory["focalclick"]
