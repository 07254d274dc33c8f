from typing import Any

import torch

from isegbench.methods.nets.tiny_vit import TinyViT, _Attention

SMALL = {"widths": (8, 8, 16, 16), "depths": (1, 1, 1, 1), "heads": (1, 2, 2, 2), "channels": 8}


def small():
    torch.manual_seed(0)
    return TinyViT(**SMALL, windows=(3, 3, 4, 3)).eval().requires_grad_(False)


def test_a_sixteenth_of_the_size_also_where_windows_do_not_fit():
    assert small()(torch.rand(2, 3, 64, 64)).shape == (2, 8, 4, 4)
    assert small()(torch.rand(1, 3, 80, 80)).shape == (1, 8, 5, 5)


def test_biases_loaded_after_eval_count():
    """The released encoder keeps those it had when `eval` was called."""
    pixels = torch.rand(1, 3, 64, 64)
    late, early = small(), small()
    trained = {
        key: torch.rand_like(value) * 3 if "attention_biases" in key else value
        for key, value in late.state_dict().items()
    }
    untouched = late(pixels)
    early.load_state_dict(trained)
    late.load_state_dict(trained)
    torch.testing.assert_close(late(pixels), early.train().eval()(pixels))
    assert (late(pixels) - untouched).abs().max() > 1e-4


def test_a_bias_belongs_to_a_distance_down_and_across():
    places = _Attention(4, 1, 3).places
    for a in range(9):
        for b in range(9):
            down, across = abs(a // 3 - b // 3), abs(a % 3 - b % 3)
            assert places[a, b] == 3 * down + across


def test_windows_do_not_see_each_other():
    """A change in one window reaches others of the attention's output nowhere."""
    block: Any = small().get_submodule("layers.1.blocks.0")
    x = torch.rand(1, 6, 6, 8)
    changed = x.clone()
    changed[:, :3, 3:] = torch.rand(1, 3, 3, 8)
    moved = (block._attended(x) - block._attended(changed)).abs().amax((0, 3)) > 1e-6
    assert moved[:3, 3:].all()
    assert moved.sum() == 9
