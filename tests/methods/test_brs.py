import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isegbench.methods.brs import (
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


def objective(points, settings=SETTINGS):
    clicked = click_squares([points], SIZE)
    return Objective(
        logits_of, unpack_input((1, 1, *SIZE), False, settings), clicked, settings, CPU
    )


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
    value, gradient = objective(WRONG)(x)
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
    value, gradient = objective(WRONG)(x.ravel())
    assert value > 0
    assert not gradient.any()
    _, gradient = objective(WRONG)(np.zeros(x.size))
    assert gradient.any()


def test_the_gradient_is_zero_once_the_mask_stays_the_same():
    made = objective(WRONG)
    x = np.zeros(SIZE[0] * SIZE[1])
    assert made(x)[1].any()
    assert not made(x + 1e-6)[1].any()


def test_the_best_logits_are_those_of_the_lowest_loss():
    made = objective(WRONG)
    rng = np.random.default_rng(1)
    losses = []
    logits = []
    for _ in range(6):
        x = rng.normal(0, 1, SIZE[0] * SIZE[1])
        losses.append(made(x)[0])
        logits.append(logits_of(torch.tensor(x).float().view(1, 1, *SIZE)))
    assert made.best_loss == min(losses)
    assert torch.equal(made.best_logits, logits[int(np.argmin(losses))])


def test_refining_brings_the_clicks_to_their_side_within_the_budget():
    made = objective(WRONG)
    calls = []
    original = made.predict

    def counted(bias):
        calls.append(1)
        return original(bias)

    made.predict = counted
    end = refine(made, np.zeros(SIZE[0] * SIZE[1]))
    assert end.shape == (SIZE[0] * SIZE[1],)
    probabilities = made.best_logits.sigmoid()
    _, missed, spilled = click_squares([WRONG], SIZE).loss(probabilities)
    assert missed < 1 - 0.49
    assert spilled < 0.49
    # L-BFGS checks its budget between line searches, so it may overrun by one of them.
    assert 1 < len(calls) <= SETTINGS.evaluations + 20


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
    loss, missed, spilled = Clicked(torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).loss(
        torch.full((1, 1, 2, 2), 0.3)
    )
    assert (float(loss), missed, spilled) == (0, 0, 0)


def test_a_mirrored_copy_gets_the_mirrored_bias_and_is_penalised_too():
    flat = torch.arange(6.0)
    (bias,), penalty = unpack_input((1, 1, 2, 3), True, SETTINGS)(flat)
    assert bias.tolist() == [[[[0, 1, 2], [3, 4, 5]]], [[[2, 1, 0], [5, 4, 3]]]]
    assert float(penalty) == pytest.approx(1e-3 * 2 * 55)


def test_scales_stand_about_one_and_biases_cost_ten_times_as_much():
    (scale, bias), penalty = unpack_scale_bias(SETTINGS)(torch.tensor([0.5, 0.0, 2.0, -1.0]))
    assert scale.flatten().tolist() == [1.5, 1.0]
    assert bias.flatten().tolist() == [2.0, -1.0]
    assert float(penalty) == pytest.approx(1e-3 * (0.25 + 10 * 5))
