"""The base of IOG's methods: from clicks to a network's input, and from its output to a map."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from scipy.special import expit

from ...harness.errors import MethodError, UserError
from ...harness.method import Method, Paper, Session
from ...harness.types import Box, MapInView
from ..processing.boxes import box_of
from ..processing.byte_scale import byte_scaled
from ..runtime.device import to_device
from ..runtime.execution import Execution
from .guidance import RELEASED_SIDE, OpeningInView, opening_guidance
from .released_simulator import view_point
from .view import CropView

Backbone = Literal["resnet18", "resnet34", "resnet50", "resnet101"]

#: image: clicks on image pixels. released: the released scripts, quirks included.
ClickProtocol = Literal["image", "released"]


class InsideOutside(Method, ABC):
    """A method that opens with a box and a point inside it, and predicts in a square view."""

    opening = "inside-outside"
    paper = Paper(
        "Interactive Object Segmentation with Inside-Outside Guidance",
        "S. Zhang, J. H. Liew, Y. Wei, S. Wei, Y. Zhao",
        2020,
        "https://openaccess.thecvf.com/content_CVPR_2020/html/Zhang_Interactive_Object_Segmentation_With_Inside-Outside_Guidance_CVPR_2020_paper.html",
    )
    #: The name in the registry.
    name: str
    #: Of the network's view, in pixels.
    side: int

    def __init__(
        self, protocol: ClickProtocol, threshold: float, execution: Execution, side: int
    ) -> None:
        if protocol == "released" and side != RELEASED_SIDE:
            raise UserError(
                f"{self.name}: protocol=released needs a network with {RELEASED_SIDE}-pixel sides, "
                f"but this one has {side}; use protocol=image"
            )
        self.protocol = protocol
        self.threshold = threshold
        self.execution = execution
        self.device = execution.device
        self.side = side

    def begin(self, session: Session) -> None:
        """Crop and draw the opening: the view, and (5, side, side) float32 on the device."""
        view, opening = self._opening_view(session)
        picture = view.picture(session.image).transpose(2, 0, 1)
        maps = opening_guidance(opening, self.side)
        session.memory["view"] = view
        session.memory["input"] = to_device(np.concatenate([picture, maps]), self.device)

    def batch_key(self, session: Session) -> str:
        """Every view has the same size."""
        return self.name

    def predict(self, sessions: Sequence[Session]) -> list[np.ndarray]:
        with torch.inference_mode(), self.execution.computing():
            logits = self._logits(sessions)[:, 0].float().cpu().numpy()
        return [self._in_image(*pair) for pair in zip(logits, sessions, strict=True)]

    def _in_image(self, logits: np.ndarray, session: Session) -> np.ndarray:
        """The (H, W) map of one session, from its (side, side) float32 logits in the view."""
        in_view = expit(logits)
        values = session.memory["view"].in_image(in_view, session.shape)
        if self.protocol == "released":
            return MapInView.of(byte_scaled(values), in_view)
        # Cubic resizing overshoots.
        return values.clip(0, 1)

    @abstractmethod
    def _logits(self, sessions: Sequence[Session]) -> torch.Tensor:
        """(N, 1, side, side) logits of the newest prediction."""

    def _inputs(self, sessions: Sequence[Session]) -> torch.Tensor:
        return torch.stack([session.memory["input"] for session in sessions])

    def _opening_view(self, session: Session) -> tuple[CropView, OpeningInView]:
        """The view around a session's opening, and the opening in it."""
        ends = [click for click in session.clicks if click.kind == "corner"]
        inside = next((click for click in session.clicks if click.kind == "positive"), None)
        if len(ends) != 2 or inside is None:
            raise MethodError(
                f"{self.name} needs 2 corners of a box and a positive click inside it, got "
                f"{', '.join(click.kind for click in session.clicks)}"
            )
        view = CropView(box_of(np.array([click.pixel for click in ends])), self.side)
        if self.protocol == "image":
            return view, OpeningInView(view.point(inside.y, inside.x), view.tight_box())
        (top, left), (bottom, right) = (view_point(click) for click in ends)
        return view, OpeningInView(view_point(inside), Box(top, left, bottom, right))


def depth_of(backbone: Backbone | None) -> int | None:
    """The number in a backbone's name."""
    return None if backbone is None else int(backbone.removeprefix("resnet"))
