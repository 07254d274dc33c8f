import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isegbench.methods.click_networks.brs import (
    BrsSettings,
    Clicked,
    Objective,
    click_squares,
    refine,
    unpack_input,
    unpack_scale_bias,
)

SIZE = (6, 7)
SETTINGS = BrsSettings()
CPU = torch.device("cpu")


def logits_of(bias):
    """A made-up network: smooth in its input, and different at every pixel."""
    tilt = torch.linspace(-1, 1, SIZE[0] * SIZE[1]).view(1, 1, *SIZE)
    return torch.tanh(bias) * 2 + tilt


class Made:
    """That network for any number of sessions; `passes` counts its calls, of all copies of it."""

    def __init__(self, passes=None):
        self.passes = [] if passes is None else passes

    def __call__(self, bias):
        self.passes.append(len(bias))
        return logits_of(bias)

    def take(self, chosen):
        return Made(self.passes)


def objective(*sessions, settings=SETTINGS):
    """Of one session or several, given by their clicks."""
    clicked = click_squares(sessions, SIZE, sessions=len(sessions))
    return Objective(Made(), unpack_input((1, *SIZE), False, settings), clicked, settings, CPU)


def evaluated(made, x):
    """(loss, gradient) of an objective of one session."""
    return made({0: x})[0]


WRONG = [(1, 1, True), (4, 5, False)]


def numpy_loss(x, points):
    """The loss written out once more: squared errors on 3x3 squares, and the penalty."""
    tilt = np.linspace(-1, 1, x.size).reshape(SIZE)
    p = 1 / (1 + np.exp(-(np.tanh(x.reshape(SIZE)) * 2 + tilt)))
    total = 1e-3 * (x**2).sum()
    for wanted in (True, False):
        square = np.zeros(SIZE)
        for y, x_, sign in points:
            if sign == wanted:
                square[y - 1 : y + 2, x_ - 1 : x_ + 2] = 1
        total += (square * (p - wanted) ** 2).sum() / (square.sum() + 1e-5)
    return total


def test_loss_and_gradient_agree_with_finite_differences():
    x = np.random.default_rng(0).normal(0, 0.3, SIZE[0] * SIZE[1])
    value, gradient = evaluated(objective(WRONG), x)
    assert value == pytest.approx(numpy_loss(x, WRONG), rel=1e-5)
    step = 1e-4
    for k in range(x.size):
        ahead, behind = x.copy(), x.copy()
        ahead[k] += step
        behind[k] -= step
        slope = (numpy_loss(ahead, WRONG) - numpy_loss(behind, WRONG)) / (2 * step)
        assert gradient[k] == pytest.approx(slope, abs=1e-5)


def test_the_gradient_is_zero_once_every_click_is_on_its_side():
    x = np.zeros(SIZE)
    x[0:3, 0:3], x[3:6, 4:7] = 1, -1
    value, gradient = evaluated(objective(WRONG), x.ravel())
    assert value > 0
    assert not gradient.any()
    _, gradient = evaluated(objective(WRONG), np.zeros(x.size))
    assert gradient.any()


def test_the_gradient_is_zero_once_the_mask_stays_the_same():
    made = objective(WRONG)
    x = np.zeros(SIZE[0] * SIZE[1])
    assert evaluated(made, x)[1].any()
    assert not evaluated(made, x + 1e-6)[1].any()


def test_the_best_logits_are_those_of_the_lowest_loss():
    made = objective(WRONG)
    rng = np.random.default_rng(1)
    losses = []
    logits = []
    for _ in range(6):
        x = rng.normal(0, 1, SIZE[0] * SIZE[1])
        losses.append(evaluated(made, x)[0])
        logits.append(logits_of(torch.tensor(x).float().view(1, 1, *SIZE)))
    (best,) = made.best_logits
    assert torch.equal(best, logits[int(np.argmin(losses))])


def test_best_logits_are_not_known_before_there_are_any():
    with pytest.raises(ValueError, match="every session must be evaluated"):
        _ = objective(WRONG).best_logits


def test_refining_brings_the_clicks_to_their_side_within_the_budget():
    made = objective(WRONG)
    passes = made.network.passes
    (end,) = refine(made, [np.zeros(SIZE[0] * SIZE[1])])
    assert end.shape == (SIZE[0] * SIZE[1],)
    probabilities = made.best_logits[0].sigmoid()
    _, missed, spilled = click_squares([WRONG], SIZE).loss(probabilities)
    assert missed < 1 - 0.49
    assert spilled < 0.49
    # L-BFGS checks its budget between line searches, so it may overrun by one of them.
    assert 1 < len(passes) <= SETTINGS.evaluations + 20


RIGHT = [(4, 5, True), (1, 1, False)]
MANY = [WRONG, RIGHT, [*WRONG, (2, 4, False), (4, 2, True)]]


def test_sessions_refined_side_by_side_end_where_each_ends_alone():
    rng = np.random.default_rng(2)
    starts = [rng.normal(0, 0.2, SIZE[0] * SIZE[1]) for _ in MANY]
    alone = [objective(clicks) for clicks in MANY]
    ends = [refine(one, [start])[0] for one, start in zip(alone, starts, strict=True)]
    rounds = [len(one.network.passes) for one in alone]
    together = objective(*MANY)
    passes = together.network.passes
    found = refine(together, starts)
    # Every operation but the network's is on one session's numbers, and the network's are too.
    for expected, end in zip(ends, found, strict=True):
        np.testing.assert_allclose(end, expected, rtol=0, atol=1e-5)
    for one, logits in zip(alone, together.best_logits, strict=True):
        torch.testing.assert_close(logits, one.best_logits[0], rtol=0, atol=1e-4)
    assert len(set(rounds)) == 3, "the sessions must not all stop in the same round"
    assert passes == [sum(k < many for many in rounds) for k in range(max(rounds))]


def test_each_session_gets_the_loss_and_gradient_of_its_own_clicks():
    rng = np.random.default_rng(3)
    x = {k: rng.normal(0, 0.3, SIZE[0] * SIZE[1]) for k in (0, 2)}
    together = objective(*MANY)
    together({k: np.zeros(SIZE[0] * SIZE[1]) for k in range(3)})
    found = together(x)
    assert sorted(found) == [0, 2]
    for k, point in x.items():
        assert found[k][0] == pytest.approx(numpy_loss(point, MANY[k]), rel=1e-5)
        alone = objective(MANY[k])
        np.testing.assert_allclose(found[k][1], evaluated(alone, point)[1], rtol=1e-5, atol=1e-8)
        assert found[k][1].any()


@given(
    st.lists(
        st.tuples(st.integers(1, SIZE[0] - 1), st.integers(1, SIZE[1] - 1), st.booleans()),
        max_size=5,
    )
)
def test_squares_mark_the_pixels_next_to_a_click(points):
    made = click_squares([points], SIZE)
    for kind, maps in ((True, made.positive), (False, made.negative)):
        for row, column in np.ndindex(SIZE):
            near = any(
                abs(row - y) <= 1 and abs(column - x) <= 1 for y, x, sign in points if sign == kind
            )
            assert maps[0, 0, row, column] == near


def test_squares_do_at_the_border_what_the_released_slices_do():
    assert not click_squares([[(0, 3, True)]], SIZE).positive.any()
    # Rows -4 to -2 from the end of six: 2, 3 and 4.
    outside = click_squares([[(-3, 3, False)]], SIZE).negative[0, 0]
    assert outside.nonzero().tolist() == [[r, c] for r in (2, 3, 4) for c in (2, 3, 4)]
    assert not click_squares([[(20, 3, False)]], SIZE).negative.any()


def test_no_click_of_a_kind_costs_nothing():
    figures = Clicked(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).loss(
        torch.full((1, 1, 2, 2), 0.3)
    )
    assert [figure.tolist() for figure in figures] == [[0], [0], [0]]


def test_both_copies_of_a_session_count_as_one():
    """Two sessions, then their mirrored copies, against the sums written out."""
    rng = np.random.default_rng(4)
    probabilities, positive, negative = rng.random((3, 4, 1, 2, 3), dtype=np.float32)
    maps = torch.from_numpy((positive > 0.5) * 1.0), torch.from_numpy((negative > 0.7) * 1.0)
    loss, missed, spilled = Clicked(*maps, sessions=2).loss(torch.from_numpy(probabilities))
    for k in range(2):
        p = probabilities[[k, k + 2]]
        wanted, unwanted = positive[[k, k + 2]] > 0.5, negative[[k, k + 2]] > 0.7
        expected = ((1 - p[wanted]) ** 2).mean() + (p[unwanted] ** 2).mean()
        assert float(loss[k]) == pytest.approx(expected, rel=1e-4)
        assert float(missed[k]) == pytest.approx((1 - p[wanted]).max())
        assert float(spilled[k]) == pytest.approx(p[unwanted].max())


def test_mirrored_copies_get_the_mirrored_bias_and_are_penalised_too():
    flat = torch.stack([torch.arange(6.0), torch.full((6,), 7.0)])
    (bias,), penalty = unpack_input((1, 2, 3), True, SETTINGS)(flat)
    first, second = [[0, 1, 2], [3, 4, 5]], [[7, 7, 7], [7, 7, 7]]
    assert bias[:, 0].tolist() == [first, second, [[2, 1, 0], [5, 4, 3]], second]
    assert penalty.tolist() == pytest.approx([1e-3 * 2 * 55, 1e-3 * 2 * 6 * 49])


def test_scales_stand_about_one_and_biases_cost_ten_times_as_much():
    flat = torch.tensor([[0.5, 0.0, 2.0, -1.0], [0.0, 0.0, 0.0, 1.0]])
    (scale, bias), penalty = unpack_scale_bias(SETTINGS)(flat)
    assert scale.shape == bias.shape == (2, 2, 1, 1)
    assert scale.flatten().tolist() == [1.5, 1.0, 1.0, 1.0]
    assert bias.flatten().tolist() == [2.0, -1.0, 0.0, 1.0]
    assert penalty.tolist() == pytest.approx([1e-3 * (0.25 + 10 * 5), 1e-3 * 10])
