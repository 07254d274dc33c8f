"""Forte et al.'s interactive segmentation network, with the protocol of its robot user."""

import cv2
import numpy as np
import torch

from ...harness.downloads.weights import resolve
from ...harness.method import Method, Paper, Session
from ..nets.forte import ForteNet
from ..runtime.checkpoint_file import fit, load_state
from ..runtime.device import Device, resolve_device, to_device
from ..runtime.execution import Execution

#: The network halves the size five times; sides are resized up to a multiple of this.
MULTIPLE = 32
#: Deviations of the Gaussian click maps, in pixels of the resized image.
DEVIATIONS = tuple(scale * 352 for scale in (0.02, 0.08, 0.16))

_MEAN = np.array([0.485, 0.456, 0.406])
_STD = np.array([0.229, 0.224, 0.225])


class Forte(Method):
    """Clicks and the previous mask to opacity, sharpened by a guided filter.

    weights: a checkpoint's path or its name in `isegbench weights list`. The authors' robot user
    is the simulator `largest-component`.

    Sessions run through the network one at a time: the guided filter turns the 1e-6 by which
    stacked convolutions differ into 2e-3, and a result must not depend on the batch.
    """

    opening = "click"
    # The released code counts >= 0.5 as object; a float32 above this number is one >= 0.5.
    threshold = float(np.nextafter(np.float32(0.5), np.float32(0)))
    paper = Paper(
        "Getting to 99% Accuracy in Interactive Segmentation",
        "M. Forte, B. Price, S. Cohen, N. Xu, F. Pitié",
        2020,
        "https://arxiv.org/abs/2003.07932",
    )
    departures = (
        "clicked pixels are forced to their kind, and only regions with a positive click are kept",
        "the authors' robot user clicks in the largest connected error and may click a pixel "
        "again: simulator largest-component",
        "the authors' robot clicks the last pixel when no error is left; here the trace ends",
    )

    def __init__(self, weights: str, *, device: Device = "auto") -> None:
        file = resolve(weights, "forte")
        self.weights = file
        self.device = resolve_device(device)
        network = ForteNet()
        fit(network, load_state(file.path), what=str(file.path))
        self.network = Execution(self.device).ready(network, channels_last=False)

    def begin(self, session: Session) -> None:
        """Resize and normalise the image: (1, 3, H, W) float32, kept in the memory."""
        size = resized_size(session.shape)
        image = _resize(session.image / 255.0, size, cv2.INTER_LANCZOS4)
        normalised = ((image - _MEAN) / _STD).astype(np.float32)
        session.memory["image"] = self._tensor(normalised)

    def predict_one(self, session: Session) -> np.ndarray:
        clicked = clicked_map(session)
        size = resized_size(session.shape)
        previous = session.previous
        if previous is None:
            previous = np.zeros(session.shape, np.float32)
        # The clicks may have grown since the map was made.
        previous = keep_clicked(np.asarray(previous), clicked)
        small = _resize(clicked, size, cv2.INTER_NEAREST)
        with torch.inference_mode():
            opacity = self.network(
                session.memory["image"],
                self._tensor(click_maps(small)),
                self._tensor(_resize(previous, size, cv2.INTER_LANCZOS4)[..., None]),
                self._tensor(small),
            )
        values = _resize(opacity[0, 0].cpu().numpy(), session.shape, cv2.INTER_LINEAR)
        values[clicked[..., 0] == 1] = 0
        values[clicked[..., 1] == 1] = 1
        return keep_clicked(values, clicked)

    def _tensor(self, channels_last: np.ndarray) -> torch.Tensor:
        """(H, W, C) as (1, C, H, W) on the device."""
        array = np.ascontiguousarray(channels_last.transpose(2, 0, 1)[None], np.float32)
        return to_device(array, self.device)


def resized_size(shape: tuple[int, int]) -> tuple[int, int]:
    """(H, W) rounded up to multiples of 32."""
    height, width = (-(-side // MULTIPLE) * MULTIPLE for side in shape)
    return height, width


def clicked_map(session: Session) -> np.ndarray:
    """(H, W, 2) float32, 1 at the pixels with a negative (0) or a positive (1) click."""
    out = np.zeros((*session.shape, 2), np.float32)
    for click in session.clicks:
        if click.kind in ("negative", "positive"):
            out[(*click.pixel, int(click.kind == "positive"))] = 1
    return out


def click_maps(clicked: np.ndarray) -> np.ndarray:
    """Gaussians of the distance to the nearest click, in three widths for either kind.

    clicked: (H, W, 2). Returns (H, W, 6) float32: negative clicks, narrow to wide, then positive
    ones; zero for a kind without clicks.
    """
    maps = np.zeros((*clicked.shape[:2], 6), np.float32)
    for kind in (0, 1):
        if clicked[..., kind].any():
            away = (1 - clicked[..., kind]).astype(np.uint8)
            distance = cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for index, deviation in enumerate(DEVIATIONS):
                maps[..., 3 * kind + index] = np.exp(-(distance**2) / (2 * deviation**2))
    return maps


def keep_clicked(opacity: np.ndarray, clicked: np.ndarray) -> np.ndarray:
    """The opacity of the 8-connected regions above 0.5 that hold a positive click, else zero.

    opacity: (H, W) float32. clicked: (H, W, 2). Unchanged when there is no positive click.
    """
    positive = clicked[..., 1] == 1
    if not positive.any():
        return opacity
    above = (opacity > 0.5).astype(np.uint8)
    _, regions = cv2.connectedComponents(above, connectivity=8)
    kept = np.isin(regions, np.unique(regions[positive])) & (above == 1)
    return np.where(kept, opacity, np.float32(0))


def _resize(array: np.ndarray, size: tuple[int, int], interpolation: int) -> np.ndarray:
    """An (H, W) or (H, W, C) array at another (H, W)."""
    return cv2.resize(array, (size[1], size[0]), interpolation=interpolation)
