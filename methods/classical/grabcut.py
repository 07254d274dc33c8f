"""GrabCut (Rother, Kolmogorov & Blake 2004), by OpenCV."""

import cv2
import numpy as np

from ...harness.method import Paper, Session
from ...harness.types import Opening
from ..processing.boxes import bounding_box
from .seeded_method import SeededMethod
from .seeds import Seeds

#: OpenCV fits mixtures of this many Gaussians and refuses a side with fewer pixels.
_COMPONENTS = 5


class GrabCut(SeededMethod):
    """Mixtures of Gaussians and minimum cuts in turn, around the seeds (`cv2.grabCut`).

    Each prediction starts from a guess, fits both mixtures to it and runs `iterations` rounds. In
    a box everything is probably object, as in the paper. Without a box the guess for a pixel is the
    label of the nearest seed: if everything were probable object, the background's mixture would be
    fitted to its seeds alone. Each click starts afresh, so that a bad cut has no effect after the
    click that corrects it.

    radius: of the seed discs, in pixels. opening: the first clicks. iterations: rounds
    per click. Raises UserError for values out of range.
    """

    paper = Paper(
        '"GrabCut": interactive foreground extraction using iterated graph cuts',
        "C. Rother, V. Kolmogorov, A. Blake",
        2004,
        "https://doi.org/10.1145/1015706.1015720",
    )
    departures = (
        "starts from one click unless opening=box; corrections are discs, not strokes",
        "every click starts afresh from the nearest seeds (or the whole box) and runs a fixed "
        "number of rounds; no border matting",
        "each side of the image's frame is background until a positive disc touches it",
    )

    def __init__(self, *, radius: int = 5, opening: Opening = "click", iterations: int = 1) -> None:
        super().__init__(radius=radius, opening=opening)
        self.require(iterations >= 1, "iterations", iterations, "1 or more")
        self.iterations = iterations

    def begin(self, session: Session) -> None:
        """Bring the image into OpenCV's channel order."""
        session.memory["bgr"] = cv2.cvtColor(session.image, cv2.COLOR_RGB2BGR)

    def solve(self, session: Session, seeds: Seeds) -> np.ndarray:
        """(H, W) bool: the object side of the last cut."""
        guess = first_guess(session, seeds)
        labels = np.where(guess, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[seeds.positive] = cv2.GC_FGD
        labels[seeds.negative] = cv2.GC_BGD
        if fits_mixtures(labels):
            # OpenCV's k-means draws from a generator of the thread.
            cv2.setRNGSeed(session.seed)
            background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(
                session.memory["bgr"],
                labels,
                None,  # pyright: ignore[reportArgumentType, reportCallIssue]
                background,
                foreground,
                self.iterations,
                cv2.GC_INIT_WITH_MASK,
            )
        return is_object(labels)


def first_guess(session: Session, seeds: Seeds) -> np.ndarray:
    """(H, W) bool: the pixels that are probably object before the first cut."""
    if bounding_box(session.shape, session.clicks) is not None:
        return ~seeds.negative
    return distance_to(seeds.positive) < distance_to(seeds.negative)


def distance_to(seeds: np.ndarray) -> np.ndarray:
    """(H, W) float32 Euclidean distance to the nearest pixel of the (H, W) bool `seeds`."""
    return cv2.distanceTransform((~seeds).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def is_object(labels: np.ndarray) -> np.ndarray:
    """(H, W) bool from OpenCV's four labels."""
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def fits_mixtures(labels: np.ndarray) -> bool:
    """Whether both sides have as many pixels as a mixture has Gaussians."""
    count = int(np.count_nonzero(is_object(labels)))
    return _COMPONENTS <= count <= labels.size - _COMPONENTS
