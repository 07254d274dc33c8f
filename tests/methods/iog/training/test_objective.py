"""The passes of the refinement network, and the click between them."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from isegbench.methods.iog.guidance import INSIDE, OUTSIDE, with_click
from isegbench.methods.iog.training import objective
from isegbench.methods.iog.training.added_click import with_added_clicks
from isegbench.methods.iog.training.objective import Objective, summed_cross_entropy
from isegbench.methods.iog.training.samples import Sample
from isegbench.methods.nets.iog import IOGNet
from isegbench.methods.nets.iog_refine import IOGRefineNet

SIDE = 64


def block(rows, columns):
    """(1, SIDE, SIDE), one inside the rows and columns."""
    out = torch.zeros(1, SIDE, SIDE)
    out[0, slice(*rows), slice(*columns)] = 1
    return out


@pytest.mark.parametrize("missed", [True, False])
def test_the_click_lies_in_the_widest_error_and_is_of_its_kind(missed):
    """Not square: a look-up with row and column exchanged would give the other kind."""
    truth = block((10, 50), (30, 60))
    error = block((12, 25), (40, 58)) if missed else block((20, 45), (2, 28))
    small_error = block((40, 44), (50, 54))
    predicted = (truth - error if missed else truth + error) - small_error
    depth = np.asarray(ndimage.distance_transform_edt((predicted != truth)[0].numpy()))
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    assert error[0, row, column] == 1
    assert truth[0, column, row] != truth[0, row, column]

    before = torch.rand(1, 2, SIDE, SIDE) * 100
    after = with_added_clicks(before, predicted[None] * 2 - 1, truth[None])
    channel = INSIDE if missed else OUTSIDE
    expected = with_click(before[0].numpy(), (row, column), channel)
    np.testing.assert_allclose(after[0].numpy(), expected, atol=1e-4)
    assert after[0, channel, row, column] == pytest.approx(255)
    torch.testing.assert_close(after[0, 1 - channel], before[0, 1 - channel])
    assert before.max() <= 100


def test_an_error_at_the_edge_is_measured_without_the_edge():
    """What lies beyond the crop is not known to be right: the click may lie on its edge."""
    truth = torch.zeros(1, 1, SIDE, SIDE)
    truth[..., :20, :] = 1
    after = with_added_clicks(torch.zeros(1, 2, SIDE, SIDE), torch.full_like(truth, -1.0), truth)
    assert divmod(int(after[0, INSIDE].argmax()), SIDE)[0] == 0


def test_no_error_adds_nothing():
    truth = block((10, 50), (30, 60))[None]
    before = torch.rand(1, 2, SIDE, SIDE)
    after = with_added_clicks(before, truth * 2 - 1, truth)
    torch.testing.assert_close(after, before)


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = 255 * torch.rand(2, 5, SIDE, SIDE, generator=generator)
    mask = torch.stack([block((10, 40), (20, 60)), block((5, 60), (30, 50))])
    void = torch.stack([block((0, 5), (0, 64)), block((60, 64), (0, 64))])
    return Sample(x, mask, void)


def enlarged(output):
    return torch.nn.functional.interpolate(
        output, (SIDE, SIDE), mode="bilinear", align_corners=True
    )


def by_hand(network, sample, guidance):
    """Loss of one pass as the facts give it, and the fine output."""
    outputs = [enlarged(o) for o in network(sample.input, guidance)]
    each = [summed_cross_entropy(o, sample.mask, sample.void) for o in outputs]
    return each[0] + each[1] + each[2] + 2 * each[3] + each[4], outputs[4]


@pytest.mark.parametrize("good", [False, True])
def test_refinement_takes_half_of_each_pass_or_the_first_alone(good, monkeypatch):
    torch.manual_seed(0)
    network = IOGRefineNet(18, side=SIDE, heads=16).train()
    sample = batch()
    guidance = sample.input[:, 3:]
    guidance.zero_()
    with torch.no_grad():
        first, fine = by_hand(network, sample, guidance)
        second, _ = by_hand(network, sample, with_added_clicks(guidance, fine, sample.mask))
    assert not torch.isclose(first, second)
    if good:
        monkeypatch.setattr(objective, "mean_iou", lambda *_: torch.tensor(0.95))
    got = Objective(network)(sample).loss
    expected = first if good else 0.5 * first + 0.5 * second
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=0)


def test_the_three_point_network_has_five_equal_losses():
    torch.manual_seed(0)
    network = IOGNet(18, side=SIDE, heads=16).train()
    sample = batch()
    outcome = Objective(network)(sample)
    each = [summed_cross_entropy(o, sample.mask, sample.void) for o in network(sample.input)]
    torch.testing.assert_close(outcome.loss, torch.stack(each).sum())
    torch.testing.assert_close(outcome.parts, torch.stack(each))
    assert len(outcome.values()) == len(objective.COLUMNS)


@pytest.mark.parametrize("kind", [IOGNet, IOGRefineNet])
def test_every_parameter_that_is_used_gets_a_gradient(kind):
    torch.manual_seed(0)
    network = kind(18, side=SIDE, heads=16).train()
    Objective(network)(batch()).loss.backward()
    without = {name for name, p in network.named_parameters() if p.grad is None}
    assert {name.rpartition(".")[0] for name in without} == {
        "Coarse_net.upsamples.0.1",
        "Coarse_net.upsamples.0.2",
    }
