"""geodesic: its distances against Dijkstra's algorithm on an explicit graph."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import dijkstra

from isegbench.methods.classical.geodesic import geodesic_distance, gradient_length


def by_dijkstra(cost, seeds):
    """Shortest 8-connected paths; a step costs the mean of both ends times its length."""
    height, width = cost.shape
    graph = sparse.lil_array((cost.size, cost.size))
    for y in range(height):
        for x in range(width):
            for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
                v, u = y + dy, x + dx
                if 0 <= v < height and 0 <= u < width:
                    length = np.hypot(dy, dx) * (cost[y, x] + cost[v, u]) / 2
                    graph[y * width + x, v * width + u] = length
    starts = np.flatnonzero(seeds)
    return dijkstra(graph.tocsr(), directed=False, indices=starts).min(0).reshape(cost.shape)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(2, 9), st.integers(1, 4))
def test_distances_equal_dijkstra(seed, height, width, block):
    rng = np.random.default_rng(seed)
    cost = rng.random((height, width)) + 0.01
    seeds = np.zeros((height, width), bool)
    y, x = rng.integers(height), rng.integers(width)
    seeds[y : y + block, x : x + block] = True
    seeds[0, 0] = True
    np.testing.assert_allclose(
        geodesic_distance(cost, seeds), by_dijkstra(cost, seeds), rtol=1e-9, atol=1e-12
    )


def test_an_image_full_of_seeds_is_at_distance_zero():
    assert not geodesic_distance(np.ones((4, 5)), np.ones((4, 5), bool)).any()


def test_gradient_of_a_slope_is_its_steepness():
    ys, xs = np.mgrid[:5, :6]
    np.testing.assert_allclose(gradient_length(3.0 * xs + 4.0 * ys), 5)
    assert gradient_length(np.ones((1, 1))).tolist() == [[0]]
    np.testing.assert_allclose(gradient_length(np.array([[0.0, 2.0, 4.0]])), 2)
