"""IOG from a box alone: one network finds the inside point for another one."""

from collections.abc import Sequence

import numpy as np
import torch

from ...harness.errors import MethodError, UserError
from ...harness.method import Session
from ...harness.types import Box
from ..nets.iog import IOGNet
from ..processing.boxes import box_of
from ..runtime.device import Device, to_device
from ..runtime.execution import Execution, Precision
from .checkpoint import Saved, read_weights
from .guidance import OpeningInView, corners, guidance, opening_guidance, opening_of
from .inside_outside import Backbone, InsideOutside, depth_of
from .view import CropView

_OUTSIDE, _BOTH = "outside", "inside-outside"


class IOGBox(InsideOutside):
    """Inside-Outside Guidance without the inside click: two networks in one view of the box.

    The first segments with the inside channel empty. The pixel of its mask farthest from
    everything outside the mask is the inside point of the second, which is IOG; where the mask is
    empty, the middle of the box is. The authors made Pixel-ImageNet from boxes this way.

    outside: the first stage's checkpoint, trained with the outside guidance alone. weights: the
    second's, as for `iog`; backbone is checked against it. Both are paths or names in `isegbench
    weights list`. stages: 1 returns the first stage's map and takes no weights.
    """

    name = "iog-box"
    opening = "box"
    corrections = False

    def __init__(
        self,
        outside: str,
        weights: str | None = None,
        *,
        stages: int = 2,
        backbone: Backbone | None = None,
        threshold: float = 0.5,
        device: Device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        if stages not in (1, 2):
            raise UserError(f"iog-box: stages={stages} must be 1 or 2")
        if (weights is None) != (stages == 1):
            needs = "has no second network: leave weights out" if weights else "needs weights=..."
            raise UserError(f"iog-box: stages={stages} {needs}")
        outside_file, saved = read_weights(outside, self.name)
        _require_guidance(saved, _OUTSIDE)
        first = saved.network(IOGNet, depth_of(backbone) if stages == 1 else None)
        execution = Execution.of(device, precision, compiled, channels_last)
        super().__init__("image", threshold, execution, first.side)
        self.weights = outside_file
        self.first = execution.ready(first, ["fine"])
        self.second: IOGNet | None = None
        if weights is not None:
            file, saved = read_weights(weights, "iog")
            _require_guidance(saved, _BOTH)
            second = saved.network(IOGNet, depth_of(backbone))
            if second.side != first.side:
                raise UserError(
                    f"iog-box: the view has {first.side} pixels a side for {outside}, but "
                    f"{second.side} for {weights}: both stages need the same view"
                )
            self.weights = (outside_file, file)
            self.second = execution.ready(second, ["fine"])
        self.departures = _departures(stages) + execution.departures

    def begin(self, session: Session) -> None:
        """Crop and draw the corners: the view, and the first stage's (5, side, side) float32."""
        ends = session.points("corner")
        if len(ends) != 2:
            raise MethodError(f"iog-box needs 2 corners of a box, got {len(ends)}")
        view = CropView(box_of(np.rint(ends).astype(int)), self.side)
        nowhere = np.empty((0, 2))
        maps = guidance(nowhere, corners(view.tight_box(), self.side), self.side)
        picture = view.picture(session.image).transpose(2, 0, 1)
        session.memory["view"] = view
        session.memory["input"] = to_device(np.concatenate([picture, maps]), self.device)

    def _logits(self, sessions: Sequence[Session]) -> torch.Tensor:
        inputs = self._inputs(sessions)
        logits = self.first.fine(inputs)
        if self.second is None:
            return logits
        masks = (logits[:, 0] > 0).cpu().numpy()
        maps = np.stack(
            [self._second_guidance(*pair) for pair in zip(masks, sessions, strict=True)]
        )
        inputs[:, 3:] = to_device(maps, self.device)
        return self.second.fine(inputs)

    def _second_guidance(self, mask: np.ndarray, session: Session) -> np.ndarray:
        """(2, side, side) float32: the box's corners, and the inside point of the mask."""
        box = session.memory["view"].tight_box()
        session.memory["inside"] = inside_point(mask, box)
        return opening_guidance(OpeningInView(session.memory["inside"], box), self.side)


def inside_point(mask: np.ndarray, box: Box) -> tuple[int, int]:
    """The (row, column) of the inside point of a first-stage mask, (side, side) bool.

    The first, row by row, of the pixels farthest from everything outside the mask (exact
    distances; beyond the view is outside). For an empty mask, the middle of the view's tight box.
    """
    opening = opening_of(mask)
    if opening is None:
        return (box.top + box.bottom) // 2, (box.left + box.right) // 2
    return opening.inside


def _require_guidance(saved: Saved, wanted: str) -> None:
    """Raise UserError for a checkpoint of the other stage."""
    if saved.guidance != wanted:
        key, other = ("outside", "weights") if wanted == _OUTSIDE else ("weights", "outside")
        raise UserError(
            f"iog-box: {key}={saved.path} was trained with {saved.guidance} guidance, but this "
            f"stage needs {wanted}: is it the one for {other}?"
        )


def _departures(stages: int) -> tuple[str, ...]:
    cut = "nothing farther than 30 pixels from the box is object"
    if stages == 1:
        return ("the first of two stages alone", cut)
    empty = "where the first stage finds nothing, the inside point is the middle of the box"
    return (cut, f"no code was released: {empty}")
