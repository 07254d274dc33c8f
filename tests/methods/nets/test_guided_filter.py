import numpy as np
import torch

from isegbench.methods.nets.guided_filter import guided_filter


def by_hand(guide, target, radius, eps):
    """He et al.'s algorithm 1 with a loop over windows, in float64."""

    def mean(values):
        out = np.empty_like(values)
        for y, x in np.ndindex(values.shape):
            rows = slice(max(y - radius, 0), y + radius + 1)
            out[y, x] = values[rows, max(x - radius, 0) : x + radius + 1].mean()
        return out

    slope = (mean(guide * target) - mean(guide) * mean(target)) / (
        mean(guide**2) - mean(guide) ** 2 + eps
    )
    offset = mean(target) - slope * mean(guide)
    return mean(slope) * guide + mean(offset)


def test_it_agrees_with_a_loop_over_windows():
    rng = np.random.default_rng(0)
    guide, target = rng.random((2, 2, 1, 13, 17))
    found = guided_filter(torch.from_numpy(guide), torch.from_numpy(target), 2, 1e-3).numpy()
    for index in (0, 1):
        expected = by_hand(guide[index, 0], target[index, 0], 2, 1e-3)
        np.testing.assert_allclose(found[index, 0], expected, atol=1e-9)


def test_a_target_that_is_linear_in_the_guide_passes():
    guide = torch.rand(1, 1, 20, 20, dtype=torch.float64, generator=torch.manual_seed(0))
    found = guided_filter(guide, 3 * guide - 1, 3, 1e-12)
    torch.testing.assert_close(found, 3 * guide - 1, rtol=0, atol=1e-6)


def test_the_smallest_image_for_a_radius():
    guide, target = torch.rand(2, 1, 1, 6, 6, dtype=torch.float64)
    found = guided_filter(guide, target, 2, 1e-3)
    expected = by_hand(guide[0, 0].numpy(), target[0, 0].numpy(), 2, 1e-3)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-9)
