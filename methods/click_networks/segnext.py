"""SegNext: an image is encoded once, every click runs only the small rest of the network."""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...harness.downloads.weights import resolve
from ...harness.method import Method, Paper, Probabilities, Session
from ..nets.click_maps import Point, points_tensor
from ..nets.click_network import normalise
from ..nets.segnext import segnext_network
from ..runtime.checkpoint_file import load_checkpoint
from ..runtime.device import Device, to_device
from ..runtime.execution import Execution, Precision
from .click_method import clicks_of


class SegNext(Method):
    """ViT-B that encodes the image once, and fuses the features with clicks and previous mask.

    Image, clicks and mask are brought to a square of 1024 pixels, whatever the image's shape;
    nothing is cropped. precision, compiled, channels_last: see `iog`.
    """

    paper = Paper(
        "Rethinking Interactive Image Segmentation with Low Latency, High Quality, and Diverse "
        "Prompts",
        "Liu, Cho, Bansal, Niethammer",
        2024,
        "https://arxiv.org/abs/2404.00741",
    )
    opening = "click"

    def __init__(
        self,
        weights: str,
        device: Device = "auto",
        threshold: float = 0.49,
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "segnext")
        self.execution = Execution.of(device, precision, compiled, channels_last)
        network = segnext_network(load_checkpoint(file.path, "isegm."), str(file.path))
        self.network = self.execution.ready(network, ("encode", "decode"))
        self.device = self.execution.device
        self.threshold = threshold
        self.weights = file
        side = f"{network.size} x {network.size}"
        above = () if threshold == Method.threshold else (f"object above {threshold:g}",)
        self.departures = (*above, f"images resized to {side}", *self.execution.departures)

    @torch.no_grad()
    def encode(self, image: np.ndarray) -> Tensor:
        """(1, C, h, w) features of a (H, W, 3) uint8 RGB image; they depend on nothing else."""
        planes = np.ascontiguousarray(image.transpose(2, 0, 1))
        rgb = normalise(to_device(planes[None], self.device).float().div(255))
        with self.execution.computing():
            return self.network.encode(_stretched(rgb, self.network.size))

    def begin(self, session: Session) -> None:
        session.memory["segnext"] = self.encode(session.image)

    def batch_key(self, session: Session) -> Hashable:
        """All sessions may share a batch: all are brought to one size."""
        return self.network.size

    @torch.no_grad()
    def predict(self, sessions: Sequence[Session]) -> Sequence[Probabilities]:
        size = self.network.size
        features = torch.cat([session.memory["segnext"] for session in sessions])
        previous = torch.cat([_stretched(self._previous(session), size) for session in sessions])
        clicks = [_moved(clicks_of(session), session.shape, size) for session in sessions]
        points = to_device(points_tensor(clicks).numpy(), self.device)
        with self.execution.computing():
            logits = self.network.decode(features, previous, points)
        pairs = zip(sessions, logits.float().split(1), strict=True)
        return [_unstretched(one, session.shape).sigmoid()[0, 0] for session, one in pairs]

    def _previous(self, session: Session) -> Tensor:
        """(1, 1, H, W) probabilities after the last click, zeros before the first."""
        if session.previous is None:
            return torch.zeros(1, 1, *session.shape, device=self.device)
        return torch.as_tensor(session.previous, device=self.device)[None, None]


def _stretched(x: Tensor, size: int) -> Tensor:
    """(B, C, H, W) -> (B, C, size, size), bilinear with pixel areas aligned."""
    return _unstretched(x, (size, size))


def _unstretched(x: Tensor, shape: tuple[int, int]) -> Tensor:
    return functional.interpolate(x, size=shape, mode="bilinear")


def _moved(clicks: Sequence[Point], shape: tuple[int, int], size: int) -> list[Point]:
    """Clicks on the nearest pixels of the square frame."""
    down, across = size / shape[0], size / shape[1]
    return [(int(y * down + 0.5), int(x * across + 0.5), sign) for y, x, sign in clicks]
