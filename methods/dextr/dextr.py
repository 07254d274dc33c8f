"""DEXTR: an object from its four extreme points."""

from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch.nn import functional

from ...harness.downloads.weights import resolve
from ...harness.errors import MethodError
from ...harness.method import Method, Paper, Session
from ...harness.types import Box, Click
from ..nets.dextr import DEXTRNet
from ..processing.boxes import box_of, crop, paste
from ..processing.byte_scale import byte_scaled
from ..processing.gaussian_points import gaussian_map
from ..runtime.checkpoint_file import fit, load_state
from ..runtime.device import Device, to_device
from ..runtime.execution import Execution, Precision

#: Side of the network's input, and the margin of the box in image pixels.
SIDE = 512
MARGIN = 50


class DEXTR(Method):
    """Deep Extreme Cut: the box of four extreme points, enlarged, cropped and segmented once.

    weights: a checkpoint's path or its name in `isegbench weights list`. protocol: `image` is the
    released demo, clicks on image pixels; `released` the released evaluation, whose points lie in
    the 512 x 512 crop and whose mask goes through 8 bits: it needs the simulator
    `dextr-released`. threshold: the released evaluation's 0.8. precision: in which the network
    computes. compiled: torch.compile translates it first. channels_last: see `iog`.
    """

    opening = "extreme-points"
    corrections = False
    paper = Paper(
        "Deep Extreme Cut: From Extreme Points to Object Segmentation",
        "K.-K. Maninis, S. Caelles, J. Pont-Tuset, L. Van Gool",
        2018,
        "https://arxiv.org/abs/1711.09081",
    )

    def __init__(
        self,
        weights: str,
        *,
        protocol: Literal["image", "released"] = "image",
        threshold: float = 0.8,
        device: Device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
        channels_last: bool | None = None,
    ) -> None:
        file = resolve(weights, "dextr")
        self.weights = file
        self.threshold = threshold
        self.protocol = protocol
        self.execution = Execution.of(device, precision, compiled, channels_last)
        self.device = self.execution.device
        self.departures = _DEPARTURES[protocol] + self.execution.departures
        network = DEXTRNet()
        fit(network, load_state(file.path), what=str(file.path))
        # Channels last moves one of ten recorded evaluations by more than 1e-4 of IoU.
        self.network = self.execution.ready(network, channels_last=False)

    def begin(self, session: Session) -> None:
        """Crop and encode: (4, 512, 512) float32 on the device, and the tight box."""
        extremes = [click for click in session.clicks if click.kind == "extreme"]
        if len(extremes) != 4:
            raise MethodError(f"dextr needs 4 extreme points, got {len(extremes)}")
        tight = box_of(np.array([click.pixel for click in extremes]))
        box = tight.grown(MARGIN)
        if self.protocol == "released":
            points = np.array([crop_point(click) for click in extremes])
            pixels = session.image.astype(np.float32)
        else:
            points = _points_in_crop(extremes, tight, box)
            pixels = session.image
        # The demo resizes 8-bit pixels; the evaluation keeps the overshoot of cubic resizing.
        resized = cv2.resize(crop(pixels, box), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        heat = _stretched(gaussian_map(points, (SIDE, SIDE)).astype(np.float32), self.protocol)
        stacked = np.dstack([resized.astype(np.float32), heat])
        planes = np.ascontiguousarray(stacked.transpose(2, 0, 1))
        session.memory["input"] = to_device(planes, self.device)
        session.memory["box"] = tight

    def batch_key(self, session: Session) -> str:
        """Every crop has the same size."""
        return "dextr"

    def predict(self, sessions: Sequence[Session]) -> list[np.ndarray]:
        inputs = torch.stack([session.memory["input"] for session in sessions])
        with torch.inference_mode(), self.execution.computing():
            logits = self.network(inputs).float()
            logits = functional.interpolate(
                logits, (SIDE, SIDE), mode="bilinear", align_corners=True
            )
        crops = logits[:, 0].cpu().numpy()
        return [self._in_image(*pair) for pair in zip(crops, sessions, strict=True)]

    def _in_image(self, logits: np.ndarray, session: Session) -> np.ndarray:
        """The (H, W) map of one session, from the (512, 512) logits of its crop."""
        values = in_image(logits, session.memory["box"], session.shape)
        # Cubic resizing overshoots: values leave [0, 1] without crossing the threshold.
        return byte_scaled(values) if self.protocol == "released" else values.clip(0, 1)


_DEPARTURES: dict[Any, tuple[str, ...]] = {
    "image": ("a pixel is object above 0.8; nothing outside the tight box of the points is",),
    "released": (
        "points are found in the 512 x 512 crop of the ground truth",
        "the probability map is stretched from its minimum to its maximum and saved in 8 bits",
        "a pixel is object above 0.8; nothing outside the tight box of the object is",
    ),
}


def released_click(pixel: tuple[int, int], point: tuple[int, int]) -> Click:
    """An extreme point of the released evaluation as a click.

    pixel: (y, x) in the image; the four of an object span its tight box. point: (y, x) of the
    same extreme in the 512 x 512 crop, where the evaluation finds it, at least 1. The click encodes
    both exactly: its pixel is `pixel`, and its offset within the pixel is proportional to `point`.
    It is still a click on the object's border.
    """
    y, x = (whole + part / SIDE - 0.5 for whole, part in zip(pixel, point, strict=True))
    return Click(y, x, "extreme")


def crop_point(click: Click) -> tuple[int, int]:
    """The (y, x) in the 512 x 512 crop of a click made by `released_click`."""
    row, column = click.pixel
    parts = [(offset + 0.5) * SIDE for offset in (click.y - row, click.x - column)]
    if any(part != round(part) for part in parts) or (click.y, click.x) == click.pixel:
        raise MethodError(
            "dextr:protocol=released needs points found in the crop: use the simulator "
            "dextr-released, or protocol=image"
        )
    return int(parts[0]), int(parts[1])


def _points_in_crop(clicks: Sequence[Click], tight: Box, box: Box) -> np.ndarray:
    """(4, 2) of (y, x) in the resized crop, truncated as the demo does."""
    pixels = np.array([click.pixel for click in clicks])
    offset = pixels - (tight.top, tight.left) + MARGIN
    return (offset * (SIDE / np.array([box.height, box.width]))).astype(int)


def _stretched(heat: np.ndarray, protocol: str) -> np.ndarray:
    """The heat map from 0 to 255, float32; the two pipelines guard the division differently."""
    span = heat.max() - heat.min()
    divisor = span + 1e-10 if protocol == "released" else max(span, 1e-8)
    return 255 * (heat - heat.min()) / divisor


def in_image(logits: np.ndarray, tight: Box, shape: tuple[int, int]) -> np.ndarray:
    """(512, 512) logits as an (H, W) float32 map, cubic overshoot included; zero outside the
    tight box."""
    box = tight.grown(MARGIN)
    probabilities = 1 / (1 + np.exp(-logits))
    resized = cv2.resize(probabilities, (box.width, box.height), interpolation=cv2.INTER_CUBIC)
    kept = resized[MARGIN : MARGIN + tight.height, MARGIN : MARGIN + tight.width]
    return paste(kept, tight, shape)
