"""Interactive graph cuts (Boykov & Jolly 2001)."""

from typing import Any

import numpy as np

from ...harness.errors import UserError
from ...harness.method import Paper, Session
from ...harness.types import Opening
from .colour_model import ColourModel
from .seeded_method import SeededMethod
from .seeds import Seeds

try:
    import maxflow as _maxflow
except ImportError:
    _maxflow = None
#: The optional extra `graphcut`; None where it is not installed.
maxflow: Any = _maxflow


class GraphCut(SeededMethod):
    """The labelling of least energy that respects the seeds, by one minimum cut.

    The energy of a labelling is the sum over pixels of -region * log p(colour | label), and over
    pairs of 8-neighbours with different labels of exp(-|difference|^2 / 2 sigma^2) / distance
    (the paper's equations 1 to 4). sigma^2 is the image's mean squared colour difference between
    neighbours.

    radius: of the seed discs, in pixels. opening: the first clicks. region: the paper's
    lambda. bandwidth (cells), uniform_weight, background_prior: see `ColourModel`. Raises UserError
    for values out of range, and when PyMaxflow is not installed.
    """

    paper = Paper(
        "Interactive graph cuts for optimal boundary & region segmentation of objects in N-D "
        "images",
        "Y. Boykov, M.-P. Jolly",
        2001,
        "https://doi.org/10.1109/ICCV.2001.937505",
    )
    requires = ("maxflow", "isegbench[graphcut]")
    departures = (
        "seeds are discs around clicks, not strokes",
        "colour histograms in Luv, smoothed and mixed with the whole image's for the background, "
        "instead of grey-value histograms of the seeds",
        "each side of the image's frame is background until a positive disc touches it",
    )

    def __init__(
        self,
        *,
        radius: int = 5,
        opening: Opening = "click",
        region: float = 0.03,
        bandwidth: float = 1.0,
        uniform_weight: float = 0.1,
        background_prior: float = 0.5,
    ) -> None:
        super().__init__(radius=radius, opening=opening)
        self.require_colours(bandwidth, uniform_weight, background_prior)
        self.require(0 <= region < np.inf, "region", region, "0 or more")
        if maxflow is None:
            raise UserError(
                "graph-cut needs PyMaxflow, which is GPL and therefore not installed by default: "
                "pip install 'isegbench[graphcut]'"
            )
        self.region = region
        self.colours = bandwidth, uniform_weight, background_prior

    def begin(self, session: Session) -> None:
        """Sort the colours into cells and build the graph's links between neighbours."""
        session.memory["colours"] = ColourModel(session.image, *self.colours)
        session.memory["graph"] = neighbour_graph(session.image)

    def solve(self, session: Session, seeds: Seeds) -> np.ndarray:
        """(H, W) bool: the object side of the cut."""
        ratio = self.region * session.memory["colours"].log_ratio(seeds)
        return minimum_cut(session.memory["graph"], ratio, seeds)


#: More than the sum of a pixel's links (4 + 4 / sqrt(2)), so that no cut changes a seed's label.
HARD = 8.0


def neighbour_graph(image: np.ndarray) -> Any:
    """A PyMaxflow graph of the pixels of an (H, W, 3) image, in row-major order, with its links."""
    height, width = image.shape[:2]
    graph = maxflow.Graph[float](height * width, 4 * height * width)
    nodes = graph.add_grid_nodes((height, width))
    for (dy, dx), weights in contrast_links(image).items():
        structure = np.zeros((3, 3))
        structure[1 + dy, 1 + dx] = 1
        graph.add_grid_edges(nodes, weights=weights, structure=structure, symmetric=True)
    return graph


def minimum_cut(graph: Any, ratio: np.ndarray, seeds: Seeds) -> np.ndarray:
    """(H, W) bool: object pixels of the least energy; `graph` stays as it is.

    ratio: (H, W), cost of calling a pixel background minus that of calling it object.
    """
    source = np.where(seeds.positive, HARD, np.maximum(ratio, 0))
    sink = np.where(seeds.negative, HARD, np.maximum(-ratio, 0))
    source[seeds.negative] = 0
    sink[seeds.positive] = 0
    graph = graph.copy()
    nodes = np.arange(ratio.size).reshape(ratio.shape)
    graph.add_grid_tedges(nodes, source, sink)
    graph.maxflow()
    return ~graph.get_grid_segments(nodes)


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
