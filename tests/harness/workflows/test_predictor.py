"""A method in somebody's own program gives what it gives in a benchmark, and takes clicks back."""

import numpy as np
import pytest

import isegbench
from isegbench import Predictor
from isegbench.harness import registry
from isegbench.harness.engine.seeding import method_seed
from isegbench.harness.errors import MethodError, UserError
from isegbench.harness.metrics.scores import iou
from isegbench.harness.types import Click


class Remembering(isegbench.Method):
    """Depends on every earlier prediction, through memory and through the previous map."""

    def begin(self, session):
        session.memory["sum"] = np.zeros(session.shape, np.float32)

    def predict_one(self, session):
        y, x = np.mgrid[: session.shape[0], : session.shape[1]]
        newest = session.clicks[-1]
        near = np.exp(-np.hypot(y - newest.y, x - newest.x) / 9).astype(np.float32)
        session.memory["sum"] += near if newest.kind == "positive" else -near
        before = 0.5 if session.previous is None else session.previous
        return np.clip(0.5 * before + 0.5 * session.memory["sum"], 0, 1).astype(np.float32)


def load(dataset: str, name: str):
    refs = registry.datasets.build(dataset).instances()
    return next(ref for ref in refs if ref.name == name).load()


def give(predictor: Predictor, clicks: list[Click]) -> list[np.ndarray]:
    """Give recorded clicks; the mask after each prediction."""
    masks = []
    while clicks:
        kind = clicks[0].kind
        size = {"corner": 2, "extreme": 4}.get(kind, 1)
        now, clicks = clicks[:size], clicks[size:]
        if kind == "corner":
            predictor.box(*(int(v) for c in now for v in (c.y, c.x)))
        elif kind == "extreme":
            predictor.extreme_points([(c.y, c.x) for c in now])
        else:
            predictor.click(now[0].y, now[0].x, positive=kind == "positive")
        if len(predictor.clicks) >= len(predictor._opening):
            masks.append(predictor.mask)
    return masks


@pytest.mark.parametrize(
    "method",
    [
        "nearest-click",
        "geodesic",
        "grabcut",
        "grabcut:opening=box",
        "geodesic:opening=inside-outside",
        "geodesic:opening=extreme-points",
        Remembering,
    ],
)
def test_recorded_clicks_give_the_recorded_ious(method):
    traces = isegbench.run(method, "samples[0:2]", clicks=5).traces
    for name, trace in traces.groupby("instance"):
        instance = load("samples", str(name))
        seed = method_seed(0, "samples", str(name))
        predictor = Predictor(method, dataset="samples", seed=seed)
        predictor.set_image(instance.image)
        clicks = [Click(y, x, kind) for y, x, kind in trace[["y", "x", "kind"]].to_numpy()]
        scores = [iou(mask, instance.mask) for mask in give(predictor, clicks)]
        assert scores == trace["iou"].dropna().tolist()
        assert len(scores) >= 2
        assert list(predictor.clicks) == clicks


def test_undo_goes_back_to_the_bit(discs):
    image = discs(1).instances()[0].load().image
    one, other = Predictor(Remembering), Predictor(Remembering)
    for predictor in (one, other):
        predictor.set_image(image)
        predictor.click(10, 12)
        predictor.click(20, 30, positive=False)
    before = one.probabilities
    one.click(5, 5)
    one.click(30, 8, positive=False)
    assert not np.array_equal(one.probabilities, before)
    one.undo()
    one.undo()
    assert one.probabilities.tobytes() == before.tobytes()
    assert one.clicks == other.clicks
    for predictor in (one, other):
        predictor.click(25, 25)
    assert one.probabilities.tobytes() == other.probabilities.tobytes()
    one.reset()
    one.click(10, 12)
    other.undo()
    other.undo()
    assert one.probabilities.tobytes() == other.probabilities.tobytes()


def test_undo_takes_back_a_whole_box(discs):
    predictor = Predictor("ellipse:opening=inside-outside")
    predictor.set_image(discs(1).instances()[0].load().image)
    predictor.box(5, 6, 30, 28)
    with pytest.raises(UserError, match=r"no prediction yet.*\(missing: positive\)"):
        _ = predictor.mask
    predictor.undo()
    assert predictor.clicks == ()
    with pytest.raises(UserError, match="no click to undo"):
        predictor.undo()
    predictor.box(5, 6, 30, 28)
    predictor.click(15, 15)
    assert predictor.mask[15, 15]
    assert not predictor.mask[0, 0]


def test_what_is_given_is_checked(discs):
    predictor = Predictor("nearest-click")
    with pytest.raises(UserError, match="call set_image first"):
        predictor.click(1, 1)
    with pytest.raises(UserError, match="call set_image, then give click"):
        _ = predictor.mask
    with pytest.raises(UserError, match="float64"):
        predictor.set_image(np.zeros((4, 4, 3)))
    predictor.set_image(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UserError, match=r"\(40, 1\) is outside"):
        predictor.click(40, 1)
    with pytest.raises(UserError, match="outside"):
        predictor.click(float("nan"), 1)
    with pytest.raises(UserError, match=r"opens with click\(y, x\); negative given"):
        predictor.click(1, 1, positive=False)
    with pytest.raises(UserError, match="corner, corner given where positive is missing"):
        predictor.box(1, 1, 5, 5)
    predictor.click(1, 1)
    with pytest.raises(UserError, match="the opening is complete"):
        predictor.box(1, 1, 5, 5)
    assert len(predictor.clicks) == 1
    once = Predictor("ellipse")
    once.set_image(np.zeros((40, 50, 3), np.uint8))
    with pytest.raises(UserError, match="is empty"):
        once.box(9, 9, 3, 12)
    once.box(3, 3, 9, 12)
    with pytest.raises(UserError, match="predicts once"):
        once.click(5, 5)
    with pytest.raises(UserError, match="must be 4"):
        once.extreme_points([(1, 1)])
    with pytest.raises(UserError, match="needs the ground truth"):
        Predictor("oracle")


def test_a_call_that_fails_changes_nothing():
    class FailsOnTheThird(Remembering):
        def predict_one(self, session):
            found = super().predict_one(session)
            return found * np.nan if len(session.clicks) == 3 else found

    one, other = Predictor(FailsOnTheThird), Predictor(Remembering)
    for predictor in (one, other):
        predictor.set_image(np.zeros((20, 30, 3), np.uint8))
        predictor.click(3, 4)
        predictor.click(8, 9)
    with pytest.raises(MethodError, match="NaN"):
        one.click(5, 5)
    assert len(one.clicks) == 2
    assert one.probabilities.tobytes() == other.probabilities.tobytes()
