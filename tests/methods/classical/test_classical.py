"""What every classical method must do: respect seeds, repeat itself, and find an easy object."""

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.registry import methods
from isegbench.harness.types import Click
from isegbench.methods.classical.seeds import draw_seeds

NAMES = ["graph-cut", "grabcut", "random-walker", "geodesic"]
COLOURS = ["graph-cut", "geodesic"]


@pytest.fixture(params=NAMES)
def name(request):
    """Each classical method; graph-cut only where its optional extra is installed."""
    if request.param == "graph-cut":
        pytest.importorskip("maxflow")
    return request.param


def play(method, image, clicks, seed=7):
    """The map after each click, as the engine would ask for it."""
    session = Session(image, (), seed=seed)
    method.begin(session)
    maps = []
    for count in range(1, len(clicks) + 1):
        session.clicks = tuple(clicks[:count])
        session.previous = method.predict_one(session)
        maps.append(session.previous)
    return maps


def check(probabilities, image, clicks, radius=5):
    assert probabilities.shape == image.shape[:2]
    assert probabilities.dtype == np.float32
    assert np.isfinite(probabilities).all()
    assert probabilities.min() >= 0
    assert probabilities.max() <= 1
    seeds = draw_seeds(image.shape[:2], clicks, radius)
    assert (probabilities[seeds.positive] > 0.5).all()
    if seeds.positive.any():
        assert (probabilities[seeds.negative] <= 0.5).all()


def square_on_noise():
    """(image, mask): a reddish noisy square on bluish noise."""
    rng = np.random.default_rng(3)
    mask = np.zeros((90, 120), bool)
    mask[25:65, 40:85] = True
    colours = np.where(mask[..., None], (170, 90, 80), (80, 100, 170))
    image = np.clip(colours + rng.normal(0, 15, (90, 120, 3)), 0, 255).astype(np.uint8)
    return image, mask


def iou(found, mask):
    return (found & mask).sum() / (found | mask).sum()


def test_finds_a_square_on_noise_in_three_clicks(name):
    image, mask = square_on_noise()
    clicks = [Click(45, 62, "positive"), Click(10, 20, "negative"), Click(80, 100, "negative")]
    assert iou(play(methods.build(name), image, clicks)[-1] > 0.5, mask) > 0.95


@pytest.mark.parametrize("corners", [[(25, 40), (64, 84)], [(22, 36), (68, 88)]])
def test_finds_the_square_in_a_box_around_it(name, corners):
    image, mask = square_on_noise()
    method = methods.build(f"{name}:opening=box")
    assert method.opening == "box"
    session = Session(image, tuple(Click(y, x, "corner") for y, x in corners), seed=7)
    method.begin(session)
    assert iou(method.predict_one(session) > 0.5, mask) > 0.9


IMAGES = st.one_of(
    st.tuples(st.just("noise"), st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.just("constant"), st.integers(1, 24), st.integers(1, 24)),
    st.tuples(st.just("black-and-white"), st.integers(1, 24), st.integers(1, 24)),
)
CLICKS = st.lists(
    st.builds(
        Click,
        st.floats(-2, 25),
        st.floats(-2, 25),
        st.sampled_from(["positive", "positive", "negative", "negative", "corner", "extreme"]),
    ),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(IMAGES, CLICKS, st.sampled_from([0, 2, 5]))
def test_any_clicks_on_any_image_give_a_map_that_respects_the_seeds(name, picture, clicks, radius):
    """Tiny, flat and extreme images; clicks of one kind, at borders and outside."""
    kind, height, width = picture
    rng = np.random.default_rng(height * 100 + width)
    image = {
        "noise": rng.integers(0, 256, (height, width, 3)),
        "constant": np.full((height, width, 3), 128),
        "black-and-white": np.repeat(rng.integers(0, 2, (height, width, 1)) * 255, 3, 2),
    }[kind].astype(np.uint8)
    method = methods.build(f"{name}:radius={radius}")
    for count, probabilities in enumerate(play(method, image, clicks), 1):
        check(probabilities, image, clicks[:count], radius)


def test_no_click_is_nothing(name):
    session = Session(np.zeros((5, 5, 3), np.uint8), ())
    method = methods.build(name)
    method.begin(session)
    assert not method.predict_one(session).any()


def test_other_sessions_and_threads_change_nothing(name):
    """Two users served in turn, OpenCV's generator disturbed between, one thread or two."""
    image, _ = square_on_noise()
    first = [Click(45, 62, "positive"), Click(10, 20, "negative"), Click(50, 50, "positive")]
    second = [Click(30, 45, "positive"), Click(80, 10, "negative"), Click(20, 100, "negative")]
    alone = play(methods.build(name), image, first)
    method, threads = methods.build(name), cv2.getNumThreads()
    sessions = [Session(image, (), seed=7), Session(image[:, ::-1].copy(), (), seed=8)]
    for session in sessions:
        method.begin(session)
    cv2.setNumThreads(2 if threads == 1 else 1)
    try:
        for count in (1, 2, 3):
            cv2.setRNGSeed(count)
            sessions[1].clicks = tuple(second[:count])
            sessions[0].clicks = tuple(first[:count])
            result = method.predict(sessions[::-1])[1]
            np.testing.assert_array_equal(result, alone[count - 1])
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("name", ["random-walker", "geodesic"])
def test_mirrored_input_gives_the_mirrored_map(name):
    """Both solve a problem with one answer, so orientation must not matter."""
    image, _ = square_on_noise()
    clicks = [Click(45, 62, "positive"), Click(10, 20, "negative")]
    mirrored = [Click(c.y, image.shape[1] - 1 - c.x, c.kind) for c in clicks]
    here = play(methods.build(name), image, clicks)[-1]
    there = play(methods.build(name), np.ascontiguousarray(image[:, ::-1]), mirrored)[-1]
    np.testing.assert_allclose(here, there[:, ::-1], atol=0.01)


@pytest.mark.parametrize(
    "spec",
    [
        *(f"{name}:radius=-1" for name in NAMES),
        *(f"{name}:opening=dance" for name in NAMES),
        *(f"{name}:uniform_weight=0" for name in COLOURS),
        *(f"{name}:bandwidth=-1" for name in COLOURS),
        *(f"{name}:background_prior=1" for name in COLOURS),
        "graph-cut:region=nan",
        "grabcut:iterations=0",
        "random-walker:beta=-1",
        "random-walker:tolerance=0",
        "random-walker:solver=magic",
        "geodesic:step=0",
    ],
)
def test_nonsense_parameters_are_refused_by_name(spec):
    if spec.startswith("graph-cut"):
        pytest.importorskip("maxflow")
    with pytest.raises(UserError, match=spec.partition(":")[2].partition("=")[0]):
        methods.build(spec)
