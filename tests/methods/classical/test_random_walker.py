"""random-walker: against a dense solve of Grady's equations, and against scikit-image."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.segmentation import random_walker

from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.classical.multigrid import GridLaplacian, VCycle, solve
from isegbench.methods.classical.random_walker import RandomWalker
from isegbench.methods.classical.seeds import draw_seeds


def dense(operator):
    """The operator as a matrix, entry by entry."""
    height, width = operator.extra.shape
    index = np.arange(height * width).reshape(height, width)
    matrix = np.diag(operator.extra.ravel().astype(float))
    links = [(index[:, :-1], index[:, 1:], operator.right), (index[:-1], index[1:], operator.down)]
    for here, there, weights in links:
        for p, q, w in zip(here.ravel(), there.ravel(), weights.ravel(), strict=True):
            matrix[p, p] += w
            matrix[q, q] += w
            matrix[p, q] -= w
            matrix[q, p] -= w
    return matrix


def random_operator(rng, height, width):
    return GridLaplacian(
        rng.random((height, width - 1)) ** 4,
        rng.random((height - 1, width)) ** 4,
        np.where(rng.random((height, width)) < 0.2, rng.random((height, width)), 0)
        + np.eye(height, width),
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_solution_equals_the_dense_one(seed, height, width):
    rng = np.random.default_rng(seed)
    operator = random_operator(rng, height, width)
    b = rng.random((height, width))
    u, _ = solve(operator, b, np.zeros_like(b), 1e-12)
    expected = np.linalg.lstsq(dense(operator), b.ravel(), rcond=None)[0]
    np.testing.assert_allclose(dense(operator) @ u.ravel(), b.ravel(), atol=1e-9)
    np.testing.assert_allclose(u.ravel(), expected, rtol=1e-5, atol=1e-7)


def test_the_preconditioner_is_symmetric_and_positive():
    """Conjugate gradients need it to be."""
    rng = np.random.default_rng(0)
    operator = random_operator(rng, 7, 10)
    cycle = VCycle(operator)
    matrix = np.stack([cycle(e.reshape(7, 10)).ravel() for e in np.eye(70)])
    np.testing.assert_allclose(matrix, matrix.T, rtol=1e-3, atol=1e-4 * abs(matrix).max())
    assert np.linalg.eigvalsh((matrix + matrix.T) / 2).min() > 0


def test_a_coarser_operator_is_the_galerkin_product():
    rng = np.random.default_rng(1)
    operator = random_operator(rng, 5, 7)
    blocks = np.zeros((35, 3 * 4))
    for y in range(5):
        for x in range(7):
            blocks[y * 7 + x, (y // 2) * 4 + x // 2] = 1
    np.testing.assert_allclose(dense(operator.coarser()), blocks.T @ dense(operator) @ blocks)


@pytest.fixture(scope="module")
def photograph():
    """A patch of a real photograph, with texture and shade, and three clicks on it."""
    data = pytest.importorskip("skimage.data")
    image = np.ascontiguousarray(data.astronaut()[40:140, 180:300])
    clicks = (Click(50, 50, "positive"), Click(8, 8, "negative"), Click(90, 110, "negative"))
    return image, clicks


def test_equals_scikit_image(photograph):
    image, clicks = photograph
    seeds = draw_seeds(image.shape[:2], clicks, 5)
    labels = seeds.positive + 2 * seeds.negative
    expected = random_walker(
        image / 255, labels, beta=400, mode="bf", return_full_prob=True, channel_axis=-1
    )[0]
    for method in (RandomWalker(tolerance=1e-8), RandomWalker(solver="scikit-image")):
        session = Session(image, clicks)
        method.begin(session)
        np.testing.assert_allclose(method.predict_one(session), expected, atol=1e-4)


def test_the_default_tolerance_moves_few_pixels(photograph):
    """From the last click's solution to 1e-4: within a percent of a tight solution."""
    image, clicks = photograph
    maps = []
    for tolerance in (1e-4, 1e-8):
        method, session = RandomWalker(tolerance=tolerance), Session(image, ())
        method.begin(session)
        for count in (1, 2, 3):
            session.clicks = clicks[:count]
            result = method.predict_one(session)
        maps.append(result)
    np.testing.assert_allclose(maps[0], maps[1], atol=0.01)
