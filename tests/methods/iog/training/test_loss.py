"""The losses against numbers worked out by hand."""

import math

import pytest
import torch

from isegbench.methods.iog.training.objective import (
    WEIGHTS,
    mean_iou,
    summed_cross_entropy,
    total_loss,
)


def test_cross_entropy_is_summed_and_void_is_left_out():
    logits = torch.tensor([[[[0.0, 2.0], [-1.0, 50.0]]], [[[3.0, 0.0], [0.0, 0.0]]]])
    mask = torch.tensor([[[[1.0, 0.5], [0.49, 0.0]]], [[[0.0, 1.0], [0.0, 1.0]]]])
    void = torch.tensor([[[[0.0, 0.5], [0.0, 0.51]]], [[[0.0, 0.0], [0.0, 0.0]]]])
    by_hand = (
        math.log(2)  # logit 0, object
        + math.log(1 + math.exp(-2))  # 0.5 counts as object, void 0.5 does not count as void
        + math.log(1 + math.exp(-1))  # 0.49 is background
        + 0  # void
        + math.log(1 + math.exp(3))
        + 3 * math.log(2)
    )
    got = summed_cross_entropy(logits, mask, void)
    assert got.item() == pytest.approx(by_hand / 2, rel=1e-6)


def test_void_has_no_gradient_and_large_logits_no_overflow():
    logits = torch.tensor([[[[1e4, -1e4, 30.0]]]], requires_grad=True)
    mask = torch.tensor([[[[0.0, 1.0, 0.0]]]])
    void = torch.tensor([[[[0.0, 0.0, 1.0]]]])
    loss = summed_cross_entropy(logits, mask, void)
    loss.backward()
    assert loss.item() == pytest.approx(2e4)
    assert logits.grad is not None
    assert logits.grad.flatten().tolist() == [1.0, -1.0, 0.0]


def test_no_class_weighs_more():
    """Of a crop with one object pixel in a hundred, that pixel is one hundredth of the loss."""
    mask = torch.zeros(1, 1, 10, 10)
    mask[..., 0, 0] = 1
    loss = summed_cross_entropy(torch.zeros(1, 1, 10, 10), mask, torch.zeros_like(mask))
    assert loss.item() == pytest.approx(100 * math.log(2))


@pytest.mark.parametrize(("kind", "weights"), [("iog", 1 + 2 + 3 + 4 + 5), ("iog-refine", 19)])
def test_totals(kind, weights):
    """Outputs whose losses are 1 to 5 times log 2: the fourth counts twice in refinement."""
    outputs = [torch.zeros(1, 1, 1, n) for n in range(1, 6)]
    parts = [
        total_loss([o], torch.zeros_like(o), torch.zeros_like(o), [1])[0].item() for o in outputs
    ]
    total = sum(w * p for w, p in zip(WEIGHTS[kind], parts, strict=True))
    assert total == pytest.approx(weights * math.log(2))


def test_total_is_the_weighted_sum():
    outputs = [torch.randn(2, 1, 4, 4) for _ in range(5)]
    mask, void = torch.rand(2, 1, 4, 4), torch.rand(2, 1, 4, 4)
    total, parts = total_loss(outputs, mask, void, (1, 1, 1, 2, 1))
    each = [summed_cross_entropy(output, mask, void) for output in outputs]
    torch.testing.assert_close(parts, torch.stack(each))
    torch.testing.assert_close(total, each[0] + each[1] + each[2] + 2 * each[3] + each[4])


def test_mean_iou():
    predicted = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], dtype=torch.bool)
    wanted = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], dtype=torch.bool)
    assert mean_iou(predicted, wanted).item() == pytest.approx((1 / 3 + 1 + 0) / 3)
