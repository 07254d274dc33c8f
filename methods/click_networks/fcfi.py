"""FCFI: the previous mask corrected near the newest click, and fused with the features."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import numpy as np
from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper, Probabilities, Session
from ..nets.fcfi import FCFINetwork, FeedbackHRNet, fcfi_network
from ..nets.isegm_models import configured_network
from ..nets.resize import resize
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device, resolve_device, to_device
from ..runtime.execution import Execution
from .click_method import ClickMethod, Inputs

Zoom = Literal["released", "uniform"]

#: RITM's zoom-in, at 600 for DAVIS as there; as in FCFI negative clicks count.
UNIFORM = ZoomIn(all_clicks=True)
#: {trunk: {data set: (target, expansion)}} as the released evaluation scripts have them.
RELEASED = {
    "hrnet": {"grabcut": (700, 3.0), "berkeley": (720, 2.8), "davis": (720, 3.5)},
    "resnet": {"grabcut": (600, 3.2), "berkeley": (720, 2.5), "davis": (640, 3.0)},
}


class FCFI(ClickMethod):
    """DeepLabV3+ or HRNet + OCR with focused and collaborative feedback integration.

    The architecture is the checkpoint's own `config`, through a table of known classes. zoom: the
    crop around the object from the second click on. `released`: with the authors' target
    size and expansion for each of GrabCut, Berkeley and DAVIS and for each trunk, on other data
    sets RITM's; by an oversight of the released code, the object's box is that of the network's
    fused mask, an intermediate result, and not that of the prediction. `uniform`: RITM's settings
    (target 400, 600 for DAVIS; expansion 1.4) everywhere and the prediction's box, for a comparison
    in which no method is tuned to the test set. flip: average with the mirror image.
    """

    paper = Paper(
        "Focused and Collaborative Feedback Integration for Interactive Image Segmentation",
        "Wei, Zhang, Yong",
        2023,
        "https://arxiv.org/abs/2303.11880",
    )

    def __init__(
        self,
        weights: str,
        zoom: Zoom = "released",
        device: Device = "auto",
        flip: bool = True,
        threshold: float = 0.49,
    ) -> None:
        file = resolve(weights, "fcfi")
        network = load_fcfi(load_checkpoint(file.path), str(file.path))
        hrnet = isinstance(network.feature_extractor, FeedbackHRNet)
        self.as_released = zoom == "released"
        self.released = RELEASED["hrnet" if hrnet else "resnet"] if self.as_released else {}
        super().__init__(
            network,
            execution=Execution(resolve_device(device)),
            threshold=threshold,
            zoom=UNIFORM,
            flip=flip,
        )
        self.weights = file

    def prepare(self, image: Tensor) -> Tensor:
        return image.float().div(255)

    def zoom_departure(self, zoom: ZoomIn) -> str:
        return _footnote(self.released) if self.as_released else super().zoom_departure(zoom)

    def zoom_for(self, session: Session) -> ZoomIn | None:
        if session.dataset not in self.released:
            return super().zoom_for(session)
        target, expansion = self.released[session.dataset]
        return replace(UNIFORM, target=target, expansion=expansion)

    def object_map(self, session: Session) -> Probabilities | None:
        return session.memory.get("fused") if self.as_released else session.previous

    def logits(self, sessions: Sequence[Session], inputs: Inputs) -> Tensor:
        newest = np.array([clicks[-1] for clicks in inputs.clicks], np.float32).astype(np.int64)
        gate = np.array([session.previous is not None for session in sessions], np.float32)
        if self.flip:
            gate = np.tile(gate, 2)
        given = (to_device(newest, self.device), to_device(gate, self.device))
        logits, _, fused = cast(FCFINetwork, self.network).attend(
            inputs.images, inputs.points, *given
        )
        if self.as_released:
            fused = self.averaged(resize(fused, inputs.images.shape[2:]))
            for session, mask in zip(sessions, fused.split(1), strict=True):
                pasted = self.look(session).paste(mask, session.shape)[0, 0]
                session.memory["fused"] = pasted > UNIFORM.prob_threshold
        return logits


def load_fcfi(checkpoint: dict[str, Any], what: str) -> FCFINetwork:
    """The network of a FCFI checkpoint; errors as in `configured_network`."""
    return configured_network(checkpoint, what, "FCFI", fcfi_network)


def _footnote(released: dict[str, tuple[int, float]]) -> str:
    settings = "; ".join(
        f"{name}: target {target}, expansion {expansion}"
        for name, (target, expansion) in released.items()
    )
    return (
        f"zoom-in tuned for each data set as released ({settings}; others: target "
        f"{UNIFORM.target}, expansion {UNIFORM.expansion}), around an intermediate mask; "
        "zoom=uniform does without"
    )
