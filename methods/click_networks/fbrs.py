"""f-BRS: backpropagating refinement through intermediate features, and the BRS modes around it."""

from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper
from ..nets.click_network import normalise
from ..nets.isegm_models import fbrs_network, fill
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .brs import BrsSettings
from .refined_method import Mode, RefinedMethod


class FBRS(RefinedMethod):
    """DeepLabV3+ or HRNet + OCR with clicks as distance maps; BRS refines the prediction.

    The architecture is inferred from the checkpoint. mode: NoBRS is the network alone; RGB-BRS
    and DistMap-BRS refine its input, f-BRS-A, -B and -C features, from deep to shallow. zoom:
    crop around the object from the second click on; zoom_target: the crop's longest side (as
    released: 400, for DAVIS 600). flip: average with the mirror image. clicks_shown: how many of
    the first clicks are input of the network (as released: all for NoBRS, 5 for input modes, 8 for
    f-BRS). norm_radius: scale of the distance maps in pixels. evaluations: of the objective per
    click at most. precision, compiled: of the network, for NoBRS alone; see `iog`.
    channels_last: as there.
    """

    paper = Paper(
        "f-BRS: Rethinking Backpropagating Refinement for Interactive Segmentation",
        "Sofiiuk, Petrov, Barinova, Konushin",
        2020,
        "https://arxiv.org/abs/2001.10331",
    )

    def __init__(
        self,
        weights: str,
        mode: Mode = "f-BRS-B",
        device: Device = "auto",
        zoom: bool = True,
        zoom_target: int | None = None,
        flip: bool = True,
        threshold: float = 0.49,
        norm_radius: float = 260,
        clicks_shown: int | None = None,
        evaluations: int = 20,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "fbrs")
        state = load_checkpoint(file.path)
        network = fbrs_network(state, str(file.path), norm_radius)
        fill(network, state, str(file.path))
        super().__init__(
            network,
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
        return normalise(image.float().div(255))
