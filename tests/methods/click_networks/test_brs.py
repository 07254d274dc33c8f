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
    """That network; `passes` counts its calls."""

    def __init__(self):
        self.passes = 0

    def __call__(self, bias):
        self.passes += 1
        return logits_of(bias)


def objective(clicks, network=None):
    unpack = unpack_input((1, *SIZE), False, SETTINGS)
    return Objective(network or Made(), unpack, click_squares([clicks], SIZE), SETTINGS, CPU)


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
    assert torch.equal(made.best_logits, logits[int(np.argmin(losses))])


def test_best_logits_are_not_known_before_there_are_any():
    with pytest.raises(ValueError, match="not been evaluated"):
        _ = objective(WRONG).best_logits


def test_refining_brings_the_clicks_to_their_side_within_the_budget():
    network = Made()
    made = objective(WRONG, network)
    end = refine(made, np.zeros(SIZE[0] * SIZE[1]))
    assert end.shape == (SIZE[0] * SIZE[1],)
    _, positive, negative = click_squares([WRONG], SIZE).loss(made.best_logits.sigmoid())
    assert positive < 1 - 0.49
    assert negative < 0.49
    # L-BFGS checks its budget between line searches, so it may overrun by one of them.
    assert 1 < network.passes <= SETTINGS.evaluations + 20


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
    assert [float(figure) for figure in figures] == [0, 0, 0]


def test_both_copies_of_an_input_count_as_one():
    """The input and its mirrored copy, against the sums written out."""
    rng = np.random.default_rng(4)
    p, positive, negative = rng.random((3, 2, 1, 2, 3), dtype=np.float32)
    wanted, unwanted = positive > 0.5, negative > 0.7
    maps = torch.from_numpy(wanted * np.float32(1)), torch.from_numpy(unwanted * np.float32(1))
    loss, positive_error, negative_error = Clicked(*maps).loss(torch.from_numpy(p))
    expected = ((1 - p[wanted]) ** 2).mean() + (p[unwanted] ** 2).mean()
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert float(positive_error) == pytest.approx((1 - p[wanted]).max())
    assert float(negative_error) == pytest.approx(p[unwanted].max())


def test_a_mirrored_copy_gets_the_mirrored_bias_and_is_penalised_too():
    (bias,), penalty = unpack_input((1, 2, 3), True, SETTINGS)(torch.arange(6.0))
    assert bias[:, 0].tolist() == [[[0, 1, 2], [3, 4, 5]], [[2, 1, 0], [5, 4, 3]]]
    assert float(penalty) == pytest.approx(1e-3 * 2 * 55)


def test_scales_stand_about_one_and_biases_cost_ten_times_as_much():
    (scale, bias), penalty = unpack_scale_bias(SETTINGS)(torch.tensor([0.5, 0.0, 2.0, -1.0]))
    assert scale.shape == bias.shape == (1, 2, 1, 1)
    assert scale.flatten().tolist() == [1.5, 1.0]
    assert bias.flatten().tolist() == [2.0, -1.0]
    assert float(penalty) == pytest.approx(1e-3 * (0.25 + 10 * 5))
