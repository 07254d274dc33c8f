"""Weights of the links between neighbouring pixels: strong where the colour does not change."""

import numpy as np

#: Row and column offsets to half of the 8 neighbours; the other half is their mirror image.
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))


def contrast_links(image: np.ndarray) -> dict[tuple[int, int], np.ndarray]:
    """{offset: (H, W) float64}: the weight between each pixel and the one at that offset.

    exp(-d^2 / 2 sigma^2) / distance, where d is the difference of the (H, W, 3) image's colours
    and sigma^2 the mean of d^2 over all links. Where there is no neighbour the weight is 0.
    """
    image = image.astype(np.float64)
    height, width = image.shape[:2]
    squared = {}
    for dy, dx in OFFSETS:
        here = image[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        there = image[dy:, max(dx, 0) : width - max(-dx, 0)]
        squared[dy, dx] = ((here - there) ** 2).sum(-1)
    links = sum(d.size for d in squared.values())
    variance = sum(d.sum() for d in squared.values()) / links if links else 0.0
    weights = {}
    for (dy, dx), d in squared.items():
        full = np.zeros((height, width))
        # A constant image has no variance, and no contrast to weaken a link either.
        link = np.exp(-d / (2 * variance)) if variance else np.ones_like(d)
        full[: height - dy, max(-dx, 0) : width - max(dx, 0)] = link / np.hypot(dy, dx)
        weights[dy, dx] = full
    return weights
