import itertools

import numpy as np
import pytest

from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.registry import methods, simulators
from isegbench.harness.simulators.openings import opening_clicks
from isegbench.harness.types import Click, instance_from_arrays
from isegbench.methods.iog.guidance import INSIDE, OUTSIDE
from isegbench.methods.iog.iog_refine import IOGRefine
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_refine import IOGRefineNet

FURTHER = (
    Click(40, 50, "negative"),
    Click(52, 66, "positive"),
    Click(30, 60, "positive"),
)


@pytest.fixture
def method(checkpoint):
    return IOGRefine(checkpoint(IOGRefineNet), device="cpu")


def session_of(instance, *further):
    opening = opening_clicks("inside-outside", instance.mask, np.random.default_rng(0))
    return Session(instance.image, (*opening, *further))


def begun(method, session):
    method.begin(session)
    return session


def in_turn(method, instance, further=FURTHER):
    """The maps of one session after the opening and after each further click."""
    session = begun(method, session_of(instance))
    maps = [method.predict([session])[0]]
    for click in further:
        session.clicks = (*session.clicks, click)
        maps.append(method.predict([session])[0])
    return maps


def test_the_cached_backbone_gives_what_running_everything_again_gives(method, disc):
    instance = disc(45, 60, 20)
    for count, found in enumerate(in_turn(method, instance)):
        session = begun(method, session_of(instance, *FURTHER[:count]))
        np.testing.assert_allclose(found, method.predict([session])[0], rtol=0, atol=1e-5)


def test_the_backbone_runs_once_per_session(method, disc):
    calls = []
    encode = method.network.encode
    method.network.encode = lambda x: calls.append(len(x)) or encode(x)
    in_turn(method, disc(45, 60, 20))
    assert calls == [1]
    old = begun(method, session_of(disc(45, 60, 20)))
    method.predict([old])
    old.clicks = (*old.clicks, FURTHER[0])
    new = [begun(method, session_of(disc(30, 40, r))) for r in (8, 9)]
    method.predict([new[0], old, new[1]])
    assert calls == [1, 1, 2]


def test_a_batch_gives_what_single_sessions_give(method, disc):
    """Sessions of one batch may have different numbers of clicks, and new ones join old ones."""
    discs = [disc(45, 60, 20), disc(30, 40, 8), disc(45, 60, 5)]
    expected = [in_turn(method, instance) for instance in discs]
    sessions = [begun(method, session_of(instance)) for instance in discs]
    first = method.predict(sessions[:2])
    for session in sessions[:2]:
        session.clicks = (*session.clicks, FURTHER[0])
    second = method.predict([sessions[2], sessions[0], sessions[1]])
    for found, maps, count in (
        (first[0], expected[0], 0),
        (first[1], expected[1], 0),
        (second[0], expected[2], 0),
        (second[1], expected[0], 1),
        (second[2], expected[1], 1),
    ):
        np.testing.assert_allclose(found, maps[count], rtol=0, atol=1e-4)


def test_each_click_changes_the_map(method, disc):
    """Or the other tests would show nothing."""
    maps = in_turn(method, disc(45, 60, 20))
    for before, after in itertools.pairwise(maps):
        assert np.abs(after - before).max() > 1e-2


def test_predicting_again_draws_nothing_twice(method, disc):
    session = begun(method, session_of(disc(45, 60, 20), *FURTHER))
    (first,) = method.predict([session])
    maps = session.memory["guidance"]
    (second,) = method.predict([session])
    assert session.memory["guidance"] is maps
    np.testing.assert_array_equal(first, second)


def test_clicks_are_drawn_where_they_are_and_by_their_kind(method, disc):
    session = begun(method, session_of(disc(45, 60, 20), *FURTHER))
    before = session.memory["guidance"].copy()
    method.predict([session])
    maps, view = session.memory["guidance"], session.memory["view"]
    for click in FURTHER:
        row, column = view.point(click.y, click.x)
        channel = INSIDE if click.kind == "positive" else OUTSIDE
        assert maps[channel, row, column] == 255
        assert before[channel, row, column] < 255
    assert "input" not in session.memory


def test_the_engine_plays_it_click_by_click(checkpoint, disc):
    """With the common simulator, and with the released one."""
    instance = disc(45, 60, 20)
    ref = instance_from_arrays("discs", "disc", instance.image, instance.mask)
    for side, protocol, name in (
        (64, "image", "largest-error"),
        (512, "released", "iog-released"),
    ):
        method = methods.build(
            f"iog-refine:weights={checkpoint(IOGRefineNet, side)},protocol={protocol},device=cpu"
        )
        pairing = Pairing(method, "iog-refine", simulators.build(name), name)
        (trace,) = Engine(pairing, Settings(clicks=6)).run([ref])
        assert trace.status == "ok", trace.error
        assert [step.click.kind for step in trace.steps[:3]] == ["corner", "corner", "positive"]
        assert [step.iou is not None for step in trace.steps] == [False, False] + [True] * 4


def test_ordinary_corrections_are_refused_by_the_released_protocol(checkpoint, disc):
    method = IOGRefine(checkpoint(IOGRefineNet, 512), protocol="released", device="cpu")
    instance = disc(45, 60, 20)
    ref = instance_from_arrays("discs", "disc", instance.image, instance.mask)
    pairing = Pairing(method, "m", simulators.build("largest-error"), "s")
    (trace,) = Engine(pairing, Settings(clicks=6)).run([ref])
    assert trace.status == "method-failed"
    assert trace.error is not None
    assert "use the simulator iog-released" in trace.error


def test_it_is_found_by_name_and_other_networks_are_refused(checkpoint):
    assert methods.factory("iog-refine") is IOGRefine
    assert IOGRefine.corrections
    with pytest.raises(UserError, match="is a checkpoint of iog, not iog-refine"):
        IOGRefine(checkpoint(IOGNet), device="cpu")
    with pytest.raises(UserError, match="IOG_PASCAL is a checkpoint of iog, not of iog-refine"):
        IOGRefine("IOG_PASCAL", device="cpu")
