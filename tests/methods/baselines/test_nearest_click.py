"""nearest-click against the golden run and against a brute-force definition."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.baselines.nearest_click import NearestClick


def brute_force(shape, clicks):
    """Nearest positive strictly closer than the nearest negative, pixel by pixel."""
    out = np.zeros(shape, np.float32)
    for y in range(shape[0]):
        for x in range(shape[1]):
            nearest = {"positive": float("inf"), "negative": float("inf")}
            for click in clicks:
                squared = (y - click.y) ** 2 + (x - click.x) ** 2
                nearest[click.kind] = min(nearest[click.kind], squared)
            out[y, x] = nearest["positive"] < nearest["negative"]
    return out


CLICKS = st.lists(
    st.builds(
        Click,
        st.integers(-2, 12),
        st.integers(-2, 12),
        st.sampled_from(["positive", "negative"]),
    ),
    max_size=6,
)


@given(CLICKS, st.integers(1, 11), st.integers(1, 11), st.integers(0, 6))
def test_equals_its_definition_however_clicks_arrive(clicks, height, width, opening):
    """One by one, or several at once: the answer is a function of the clicks."""
    image = np.zeros((height, width, 3), np.uint8)
    method, session = NearestClick(), Session(image, ())
    for count in range(opening, len(clicks) + 1):
        session.clicks = tuple(clicks[:count])
        result = method.predict_one(session)
        assert result.dtype == np.float32
        np.testing.assert_array_equal(result, brute_force((height, width), clicks[:count]))


def test_memory_of_other_clicks_is_not_used():
    session = Session(np.zeros((9, 9, 3), np.uint8), (Click(1, 1, "negative"),))
    method = NearestClick()
    method.predict_one(session)
    session.clicks = (Click(4, 4, "positive"), Click(0, 4, "negative"))
    np.testing.assert_array_equal(method.predict_one(session), brute_force((9, 9), session.clicks))


def test_no_click_is_nothing_and_other_kinds_do_not_count():
    session = Session(np.zeros((3, 4, 3), np.uint8), ())
    assert not NearestClick().predict_one(session).any()
    session.clicks = (Click(0, 0, "corner"), Click(2, 3, "corner"))
    assert not NearestClick().predict_one(session).any()
    session.clicks += (Click(1, 1, "positive"),)
    assert NearestClick().predict_one(session).all()


@settings(max_examples=25)
@given(CLICKS)
def test_mirror_image_of_the_clicks_gives_the_mirror_image(clicks):
    image = np.zeros((7, 11, 3), np.uint8)
    mirrored = [Click(c.y, 10 - c.x, c.kind) for c in clicks]
    np.testing.assert_array_equal(
        NearestClick().predict_one(Session(image, tuple(clicks)))[:, ::-1],
        NearestClick().predict_one(Session(image, tuple(mirrored))),
    )


def test_distances_on_a_wide_image_do_not_overflow():
    """Squared distances beyond 2**31 need more than 32 bits."""
    session = Session(
        np.zeros((1, 60_000, 3), np.uint8), (Click(0, 0, "positive"), Click(0, 59_999, "negative"))
    )
    result = NearestClick().predict_one(session)
    assert result[0, :30_000].all()
    assert not result[0, 30_000:].any()


def test_reproduces_the_golden_run_on_grabcut(shared):
    """Fed the recorded clicks, every IoU of every image comes out (to the 6 decimals recorded)."""
    golden = json.loads(shared("goldens", "nearest_click", "grabcut.json").read_text())
    masks = shared("data", "GrabCut", "boundary_GT")
    assert len(golden) == 50
    for name, record in golden.items():
        image = cv2.imread(str(masks / name))
        assert image is not None
        mask = image[..., 0]
        scored, truth = mask != 128, mask > 128
        method, session = NearestClick(), Session(np.zeros((*mask.shape, 3), np.uint8), ())
        ious = []
        for y, x, positive in record["clicks"]:
            session.clicks += (Click(y, x, "positive" if positive else "negative"),)
            found = method.predict_one(session) > 0.5
            both, either = found & truth & scored, (found | truth) & scored
            ious.append(both.sum() / either.sum())
        assert ious == pytest.approx(record["iou"], abs=1e-6), name
