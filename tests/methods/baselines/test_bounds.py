"""The oracle and the empty method."""

import numpy as np
import pytest

from isegbench.harness.errors import MethodError
from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.baselines.bounds import Empty, Oracle

TRUTH = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
CLICKS = (Click(0, 1, "positive"),)


def test_oracle_returns_the_object_and_nothing_ignored():
    session = Session(np.zeros((2, 3, 3), np.uint8), CLICKS, truth=TRUTH)
    found = Oracle().predict_one(session)
    assert found.dtype == np.float32
    assert found.tolist() == [[0, 1, 0], [1, 1, 0]]
    assert Oracle.sees_truth


def test_oracle_without_truth_says_so():
    with pytest.raises(MethodError, match="truth"):
        Oracle().predict_one(Session(np.zeros((2, 3, 3), np.uint8), CLICKS))


def test_empty_finds_nothing():
    found = Empty().predict_one(Session(np.zeros((2, 3, 3), np.uint8), CLICKS))
    assert found.dtype == np.float32
    assert found.shape == (2, 3)
    assert not found.any()
    assert not Empty.sees_truth
