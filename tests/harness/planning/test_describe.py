"""Descriptions are the same for equal values, and differ for others."""

from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
import torch

from isegbench.harness.planning.describe import Description, compiled
from isegbench.harness.simulators.jitter import Jittered
from isegbench.harness.simulators.largest_error import LargestError
from isegbench.harness.simulators.replay import RecordedClicks
from isegbench.harness.types import Click


@dataclass
class Inner:
    size: float


class Hostile:
    def state_dict(self):
        raise RuntimeError("not now")


def double(value):
    return 2 * value


def network(seed):
    torch.manual_seed(seed)
    return torch.nn.Linear(3, 2)


VALUES = [
    lambda n: n,
    lambda n: float(n),
    lambda n: f"text {n}",
    lambda n: b"x" * n,
    lambda n: (1, [n], {"a": n}, {n, 7}),
    lambda n: np.arange(5) * n,
    lambda n: np.full((3000, 3000), n, np.uint8),
    lambda n: torch.full((3,), n, dtype=torch.bfloat16),
    network,
    lambda n: Inner(n),
    lambda n: partial(double, n),
    lambda n: Jittered(LargestError(), n),
    lambda n: RecordedClicks([Click(n, 1, "positive")]),
    lambda n: "long" * 1000 + str(n),
]


@pytest.mark.parametrize("make", VALUES)
def test_a_description_follows_the_value(make):
    one, again, other = (Description().short(make(n)) for n in (1, 1, 2))
    assert one == again != other
    assert len(str(one)) < 500


def test_what_cannot_be_described_is_named_by_its_type():
    assert Description().short(object()) == "object"
    assert Description().short(Hostile()) == "Hostile"
    itself = []
    itself.append(itself)
    assert Description().short(itself) == Description().short(itself)


def test_the_code_of_a_class_without_a_file():
    def make(constant):
        return eval(f"type('A', (), {{'f': lambda self: {constant}, 'size': 3}})")

    assert compiled(make("1 in {'a', 'b'}")) == compiled(make("1 in {'b', 'a'}"))
    assert compiled(make("1")) != compiled(make("2"))
