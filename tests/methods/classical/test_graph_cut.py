"""graph-cut: its cut against all labellings of a small image, and against SciPy's maximum flow."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import maximum_flow

from isegbench.harness.errors import UserError
from isegbench.methods.classical import graph_cut
from isegbench.methods.classical.graph_cut import OFFSETS, contrast_links
from isegbench.methods.classical.seeds import Seeds

pytest.importorskip("maxflow")


def energy(labels, image, ratio):
    """Sum of the costs of a labelling, written out pixel by pixel."""
    height, width = labels.shape
    pairs = {
        ((y, x), (y + dy, x + dx)): np.hypot(dy, dx)
        for y in range(height)
        for x in range(width)
        for dy, dx in OFFSETS
        if 0 <= y + dy < height and 0 <= x + dx < width
    }
    squared = {(p, q): float(((image[p] - image[q]) ** 2).sum()) for p, q in pairs}
    variance = sum(squared.values()) / len(squared)
    cost = float(np.maximum(ratio, 0)[~labels].sum() + np.maximum(-ratio, 0)[labels].sum())
    for (p, q), distance in pairs.items():
        if labels[p] != labels[q]:
            cost += np.exp(-squared[p, q] / (2 * variance)) / distance
    return cost


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_labelling_that_respects_the_seeds_costs_less(seed):
    """All 2**10 labellings of a 3 x 4 image with one seed of each kind."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (3, 4, 3)).astype(np.uint8)
    ratio = rng.normal(0, 1, (3, 4))
    seeds = Seeds(np.zeros((3, 4), bool), np.zeros((3, 4), bool))
    seeds.positive[1, 1] = seeds.negative[2, 3] = True
    found = graph_cut.minimum_cut(graph_cut.neighbour_graph(image), ratio, seeds)
    assert found[1, 1]
    assert not found[2, 3]
    ratio = np.where(seeds.positive | seeds.negative, 0, ratio)
    free = np.argwhere(~(seeds.positive | seeds.negative))
    least = np.inf
    labels = seeds.positive.copy()
    for values in itertools.product((False, True), repeat=len(free)):
        labels[tuple(free.T)] = values
        least = min(least, energy(labels, image.astype(float), ratio))
    assert energy(found, image.astype(float), ratio) == pytest.approx(least, abs=1e-9)


def test_the_cut_costs_what_scipy_can_push_through_the_same_graph():
    """Max-flow equals min-cut, on a 16 x 20 image with capacities rounded to integers."""
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (16, 20, 3)).astype(np.uint8)
    ratio = rng.normal(0, 0.5, (16, 20))
    seeds = Seeds(np.zeros((16, 20), bool), np.zeros((16, 20), bool))
    seeds.positive[4:8, 4:8] = seeds.negative[12:, 15:] = True
    found = graph_cut.minimum_cut(graph_cut.neighbour_graph(image), ratio, seeds)

    scale, pixels = 10**6, np.arange(320).reshape(16, 20)
    source, sink = 320, 321
    hard = graph_cut.HARD
    out = np.where(seeds.positive, hard, np.where(seeds.negative, 0, np.maximum(ratio, 0)))
    into = np.where(seeds.negative, hard, np.where(seeds.positive, 0, np.maximum(-ratio, 0)))
    tails, heads, capacities = [], [], []
    for (dy, dx), weights in contrast_links(image).items():
        ys, xs = np.nonzero(weights)
        here, there = pixels[ys, xs], pixels[ys + dy, xs + dx]
        for tail, head in ((here, there), (there, here)):
            tails.append(tail)
            heads.append(head)
            capacities.append(weights[ys, xs])
    tails += [np.full(320, source), pixels.ravel()]
    heads += [pixels.ravel(), np.full(320, sink)]
    capacities += [out.ravel(), into.ravel()]
    rows, columns = np.concatenate(tails), np.concatenate(heads)
    whole = np.round(np.concatenate(capacities) * scale).astype(np.int32)
    network = sparse.csr_array((whole, (rows, columns)), shape=(322, 322))
    side = np.append(found.ravel(), [True, False])
    cut = int(whole[side[rows] & ~side[columns]].sum())
    flow = maximum_flow(network, source, sink).flow_value
    # Rounding may favour another cut by at most half a unit per link.
    assert flow <= cut <= flow + whole.size


def test_links_are_strong_where_colours_agree_and_absent_beyond_the_image():
    image = np.zeros((2, 3, 3), np.uint8)
    image[:, 2] = 200
    links = contrast_links(image)
    assert links[0, 1][0, 0] == 1
    assert links[0, 1][0, 1] < 0.5
    assert links[1, 1][0, 0] == pytest.approx(1 / np.sqrt(2))
    assert not links[0, 1][:, -1].any()
    assert not links[1, -1][:, 0].any()
    assert not links[1, 0][-1].any()


def test_a_constant_image_has_full_links():
    links = contrast_links(np.full((3, 3, 3), 7, np.uint8))
    assert (links[0, 1][:, :-1] == 1).all()


def test_without_pymaxflow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setattr(graph_cut, "maxflow", None)
    with pytest.raises(UserError, match=r"isegbench\[graphcut\]"):
        graph_cut.GraphCut()
