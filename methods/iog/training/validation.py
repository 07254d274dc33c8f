"""Scoring a network while it is trained: a benchmark like any other, through the harness."""

from collections.abc import Sequence

import numpy as np
import torch

from ....harness.benchmark import run
from ....harness.method import Method, Session
from ....harness.metrics import iou_curves, miou
from ...boxes import box_of
from ..guidance import INSIDE, Opening, opening_guidance
from ..network import IOGNet
from ..refinement import IOGRefineNet
from ..view import View
from .config import IOGTraining

#: Sessions a prediction.
_BATCH = 8


class Opened(Method):
    """A network's prediction from its opening clicks alone, for use while it is trained."""

    corrections = False

    def __init__(self, network: IOGNet | IOGRefineNet, *, inside: bool) -> None:
        self.network, self.inside = network, inside
        self.opening = "inside-outside" if inside else "box"

    def begin(self, session: Session) -> None:
        """Keep the view and the network's input."""
        view = View(box_of(session.points("corner").round().astype(int)), self.network.side)
        maps = np.zeros((2, view.side, view.side), np.float32)
        if self.inside:
            point = view.point(*session.points("positive")[0])
            maps = opening_guidance(Opening(point, view.tight_box()), view.side)
        else:
            maps = opening_guidance(Opening((0, 0), view.tight_box()), view.side)
            maps[INSIDE] = 0
        picture = view.picture(session.image).transpose(2, 0, 1)
        session.memory["view"], session.memory["input"] = view, np.concatenate([picture, maps])

    def batch_key(self, session: Session) -> str:
        """Every view has the same size."""
        return "opened"

    def predict(self, sessions: Sequence[Session]) -> list[np.ndarray]:
        device = next(self.network.parameters()).device
        stacked = np.stack([session.memory["input"] for session in sessions])
        x = torch.from_numpy(stacked).to(device)
        with torch.inference_mode():
            if isinstance(self.network, IOGRefineNet):
                logits = self.network.fine(self.network.encode(x), x[:, 3:])
            else:
                logits = self.network.fine(x)
            maps = logits.sigmoid()[:, 0].float().cpu().numpy()
        return [
            session.memory["view"].in_image(values, session.shape).clip(0, 1)
            for session, values in zip(sessions, maps, strict=True)
        ]


def validate(network: IOGNet | IOGRefineNet, config: IOGTraining) -> dict[str, float]:
    """{"mIoU@3 DATASET": value} on each data set of `validate_on`; mIoU@2 for `outside`.

    The network is left in evaluation mode. Raises UserError as a benchmark does.
    """
    network.eval()
    method = Opened(network, inside=config.network != "outside")
    clicks = 3 if method.inside else 2
    frame = run(
        method, config.validate_on, clicks=clicks, batch_size=_BATCH, data_root=config.data_root
    )
    return {
        f"mIoU@{clicks} {name}": miou(iou_curves(part, clicks).ious, clicks)
        for name, part in frame.groupby("dataset", observed=True, sort=False)
    }
