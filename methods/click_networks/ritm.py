"""RITM: iteratively trained models with their own previous mask as input."""

from typing import Any

from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper
from ..nets.click_network import ClickNetwork
from ..nets.isegm_models import configured_network, ritm_network
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .brs import BrsSettings
from .refined_method import Mode, RefinedMethod


class RITM(RefinedMethod):
    """HRNet + OCR with clicks as disks and, if so trained, its previous mask as input.

    The architecture is the checkpoint's own `config`, through a table of known classes. mode:
    NoBRS is the system as published; the BRS modes of f-BRS can be put on top. zoom: crop
    around the object from the second click on; zoom_target: the crop's longest side (as released:
    400, for DAVIS 600). flip: average with the mirror image. clicks_shown: how many of the first
    clicks are input of the network (as released: all for NoBRS, 5 for input modes, 8 for f-BRS).
    evaluations: of BRS's objective per click at most. precision, compiled: of the network, for
    NoBRS alone; see `iog`. channels_last: as there.
    """

    paper = Paper(
        "Reviving Iterative Training with Mask Guidance for Interactive Segmentation",
        "Sofiiuk, Petrov, Konushin",
        2021,
        "https://arxiv.org/abs/2102.06583",
    )

    def __init__(
        self,
        weights: str,
        mode: Mode = "NoBRS",
        device: Device = "auto",
        zoom: bool = True,
        zoom_target: int | None = None,
        flip: bool = True,
        threshold: float = 0.49,
        clicks_shown: int | None = None,
        evaluations: int = 20,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "ritm")
        super().__init__(
            load_ritm(load_checkpoint(file.path), str(file.path)),
            mode=mode,
            execution=Execution.of(device, precision, compiled, channels_last),
            zoom=ZoomIn() if zoom else None,
            zoom_target=zoom_target,
            flip=flip,
            clicks_shown=clicks_shown,
            brs=BrsSettings(threshold=threshold, evaluations=evaluations),
        )
        self.weights = file

    def prepare(self, image: Tensor) -> Tensor:
        return image.float().div(255)


def load_ritm(checkpoint: dict[str, Any], what: str) -> ClickNetwork:
    """The network of a RITM checkpoint; errors as in `configured_network`."""
    return configured_network(checkpoint, what, "RITM", ritm_network)
