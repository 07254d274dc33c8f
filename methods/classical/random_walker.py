"""Random walks for image segmentation (Grady 2006)."""

from typing import Literal

import numpy as np
from skimage.segmentation import random_walker

from ...harness.method import Paper, Session
from ...harness.types import Opening
from .multigrid import GridLaplacian, solve
from .seeded_method import SeededMethod
from .seeds import Seeds

#: scikit-image adds this to every weight, so that no pixel is cut off from the seeds.
_LEAST_WEIGHT = 1e-10


class RandomWalker(SeededMethod):
    """The probability that a random walker reaches a positive seed before a negative one.

    The walk steps between 4-neighbours with weights exp(-beta' |difference|^2), where beta' is
    scaled to the image as scikit-image's `random_walker` does: beta / (10 std sqrt(3)) for colours
    in [0, 1].

    radius: of the seed discs, in pixels. opening: the first clicks. beta: how much a
    contrast hinders the walker. solver: "multigrid" solves scikit-image's linear system by
    conjugate gradients with this package's multigrid preconditioner, starting from the last
    click's solution, to a relative residual of `tolerance`; "scikit-image" calls its
    `random_walker` with the direct solver (mode "bf"), five to ten times slower.
    """

    paper = Paper(
        "Random walks for image segmentation",
        "L. Grady",
        2006,
        "https://doi.org/10.1109/TPAMI.2006.233",
    )
    departures = (
        "seeds are discs around clicks, not strokes",
        "beta is scaled by the image's standard deviation as in scikit-image, not by its largest "
        "difference",
        "each side of the image's frame is background until a positive disc touches it",
    )

    def __init__(
        self,
        *,
        radius: int = 5,
        opening: Opening = "click",
        beta: float = 400.0,
        solver: Literal["multigrid", "scikit-image"] = "multigrid",
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__(radius=radius, opening=opening)
        self.require(0 <= beta < np.inf, "beta", beta, "0 or more")
        self.require(0 < tolerance < 1, "tolerance", tolerance, "between 0 and 1")
        self.require(
            solver in ("multigrid", "scikit-image"), "solver", solver, "multigrid or scikit-image"
        )
        self.beta = beta
        self.solver = solver
        self.tolerance = tolerance

    def begin(self, session: Session) -> None:
        """Weigh the links between neighbours."""
        if self.solver == "multigrid":
            session.memory["walk"] = walk_laplacian(session.image, self.beta)

    def solve(self, session: Session, seeds: Seeds) -> np.ndarray:
        """(H, W) float64 probabilities."""
        if self.solver == "scikit-image":
            return self._by_scikit_image(session, seeds)
        free = ~(seeds.positive | seeds.negative)
        pinned, inflow = pin(session.memory["walk"], free, seeds.positive)
        start = session.memory.get("solution", np.full(session.shape, 0.5))
        solution, _ = solve(pinned, inflow, np.where(free, start, 0), self.tolerance)
        session.memory["solution"] = solution
        return np.clip(solution, 0, 1)

    def _by_scikit_image(self, session: Session, seeds: Seeds) -> np.ndarray:
        labels = seeds.positive + 2 * seeds.negative
        image = session.image / 255
        if not np.ptp(session.image):
            # scikit-image would divide by the deviation, which is 0: any contrast, unweighted.
            image, beta = np.arange(image.size, dtype=float).reshape(image.shape), 0.0
        else:
            beta = self.beta
        maps = random_walker(
            image, labels, beta=beta, mode="bf", return_full_prob=True, channel_axis=-1
        )
        return np.clip(maps[0], 0, 1)


def walk_laplacian(image: np.ndarray, beta: float) -> GridLaplacian:
    """The 4-neighbour Laplacian of an (H, W, 3) uint8 image, weighted as scikit-image does."""
    colours = image / 255
    deviation = colours.std()
    # A constant image has no contrast to weigh.
    scale = beta / (10 * deviation * np.sqrt(colours.shape[2])) if deviation else 0.0
    right, down = (
        np.exp(-scale * (np.diff(colours, axis=axis) ** 2).sum(-1)) + _LEAST_WEIGHT
        for axis in (1, 0)
    )
    return GridLaplacian(right, down, np.zeros(image.shape[:2]))


def pin(
    walk: GridLaplacian, free: np.ndarray, positive: np.ndarray
) -> tuple[GridLaplacian, np.ndarray]:
    """The system for the free pixels, the others being fixed at 1 (positive) or 0.

    Returns the operator, whose rows at fixed pixels are zero, and the right-hand side.
    """
    pinned = GridLaplacian(
        walk.right * (free[:, :-1] & free[:, 1:]),
        walk.down * (free[:-1] & free[1:]),
        np.where(free, walk.neighbours((~free).astype(float)), 0),
    )
    return pinned, np.where(free, walk.neighbours(positive.astype(float)), 0)
