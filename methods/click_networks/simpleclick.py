"""SimpleClick: a plain vision transformer with clicks and its own previous mask as input."""

from dataclasses import replace

from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper, Session
from ..nets.simpleclick import SimpleClick as Network
from ..nets.simpleclick import simpleclick_network
from ..processing.fixed_size import FixedZoom
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .click_method import ClickMethod

_SIDE = 448
#: Where the released evaluation departs from it.
_SIDES = {"davis": 672}


class SimpleClick(ClickMethod):
    """ViT-XT, -B, -L or -H with clicks as disks and its previous mask as input.

    The input is the object's box from the first click on (then: the whole image), resized
    to a square. side: of that square in pixels, a multiple of the patch's 16 (14 of ViT-H); as
    released 448, for DAVIS 672; the position embedding is interpolated. flip: average logits with
    the mirror image. precision, compiled, channels_last: see `iog`.
    """

    paper = Paper(
        "SimpleClick: Interactive Image Segmentation with Simple Vision Transformers",
        "Liu, Xu, Bertasius, Niethammer",
        2023,
        "https://arxiv.org/abs/2210.11006",
    )

    network: Network  # type: ignore[assignment]

    def __init__(
        self,
        weights: str,
        device: Device = "auto",
        side: int | None = None,
        flip: bool = True,
        threshold: float = 0.49,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "simpleclick")
        super().__init__(
            simpleclick_network(load_checkpoint(file.path, "isegm."), str(file.path)),  # type: ignore[arg-type]
            execution=Execution.of(device, precision, compiled, channels_last),
            threshold=threshold,
            zoom=FixedZoom(target=_SIDE, skip_clicks=-1, from_first=True),
            zoom_target=side,
            flip=flip,
        )
        self.weights = file

    def zoom_departure(self, zoom: ZoomIn) -> str:
        side = self.zoom_target or _SIDE
        special = "" if self.zoom_target else f" ({_SIDES['davis']} on davis)"
        return f"looks at the last mask's box, resized to {side} x {side}{special}"

    def zoom_for(self, session: Session) -> ZoomIn | None:
        if self.zoom is None:
            return None
        side = self.zoom_target or _SIDES.get(session.dataset, _SIDE)
        return replace(self.zoom, target=side)

    def prepare(self, image: Tensor) -> Tensor:
        return image.float().div(255)
