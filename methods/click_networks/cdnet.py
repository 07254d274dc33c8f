"""CDNet: conditional diffusion of features and pixels from the clicks."""

from collections.abc import Sequence

from torch import Tensor

from ...harness.downloads.weights import resolve
from ...harness.method import Paper, Session
from ..nets.cdnet import CDNet as Network
from ..nets.cdnet import cdnet_network, diffuse_pixels
from ..processing.fixed_size import every_click
from ..processing.zoom_in import ZoomIn
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .click_method import ClickMethod


class CDNet(ClickMethod):
    """DeepLabV3+ on ResNet-34 with clicks as disks and no previous mask as input.

    Labels spread from the clicks, first among features, then among pixels of similar colour. From
    the second click on the input is the box of the last mask and the positive clicks. side:
    of the square that it is resized to, in pixels. flip: average logits with the mirror image.
    precision, compiled, channels_last: see `iog`.
    """

    paper = Paper(
        "Conditional Diffusion for Interactive Segmentation",
        "Chen, Zhao, Yu, Zhang, Duan",
        2021,
        "https://openaccess.thecvf.com/content/ICCV2021/papers/Chen_Conditional_Diffusion_for_Interactive_Segmentation_ICCV_2021_paper.pdf",
    )

    network: Network

    def __init__(
        self,
        weights: str,
        device: Device = "auto",
        side: int = 384,
        flip: bool = True,
        threshold: float = 0.5,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "cdnet")
        super().__init__(
            cdnet_network(load_checkpoint(file.path), str(file.path)),
            execution=Execution.of(device, precision, compiled, channels_last),
            threshold=threshold,
            zoom=every_click(side),
            flip=flip,
        )
        self.weights = file

    def zoom_departure(self, zoom: ZoomIn) -> str:
        return f"looks at the last mask's box, resized to {zoom.target} x {zoom.target}"

    def zoom_for(self, session: Session) -> ZoomIn | None:
        return self.zoom

    def prepare(self, image: Tensor) -> Tensor:
        return image.float().div(255)

    def answers(self, sessions: Sequence[Session]) -> Sequence[Tensor]:
        inputs = self.inputs(sessions)
        with self.execution.computing():
            logits = self.averaged(self.network(inputs.images, inputs.points).float())
        # The mirrored copies come last.
        images, points = inputs.images[: len(sessions)], inputs.points[: len(sessions)]
        clicks = self.network.encoding(points, images.shape[2:])
        return diffuse_pixels(images, logits, clicks).split(1)
