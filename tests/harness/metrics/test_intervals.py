"""Intervals against scipy's, permutation tests against every flip written down."""

import doctest
import itertools
import time

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from isegbench.harness.errors import UserError
from isegbench.harness.metrics import intervals


def test_docstring_examples_run() -> None:
    result = doctest.testmod(intervals)
    assert result.failed == 0
    assert result.attempted >= 5


@pytest.mark.parametrize("sample", ["bounded", "skewed", "counts"])
def test_intervals_are_those_of_scipy(sample: str) -> None:
    rng = np.random.default_rng(1)
    values = {
        "bounded": rng.beta(8, 2, 120),
        "skewed": rng.exponential(3, 150),
        "counts": rng.integers(1, 21, 90).astype(float),
    }[sample]
    theirs = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=rng
    )
    low, high = intervals.mean_interval(values, resamples=40_000)
    # Both ends are quantiles of 40,000 draws: they agree to a small part of the interval.
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert low[0] == pytest.approx(theirs.confidence_interval.low, abs=0.02 * width)
    assert high[0] == pytest.approx(theirs.confidence_interval.high, abs=0.02 * width)


def test_cluster_intervals_are_those_of_scipy() -> None:
    """Drawing images is drawing pairs (sum, number) of which the ratio of the means is taken."""
    rng = np.random.default_rng(2)
    images = np.repeat(np.arange(60), rng.integers(1, 6, 60))
    values = rng.normal(0, 1, 60)[images] + rng.normal(0, 0.3, len(images))
    sums, sizes = np.bincount(images, values), np.bincount(images)

    def ratio(total: np.ndarray, size: np.ndarray, axis: int = -1) -> np.ndarray:
        return total.sum(axis=axis) / size.sum(axis=axis)

    theirs = scipy.stats.bootstrap(
        (sums, sizes), ratio, n_resamples=40_000, method="percentile", paired=True, rng=rng
    )
    ends = intervals.mean_interval(values, images, resamples=40_000)
    width = theirs.confidence_interval.high - theirs.confidence_interval.low
    assert ends[0][0] == pytest.approx(theirs.confidence_interval.low, abs=0.02 * width)
    assert ends[1][0] == pytest.approx(theirs.confidence_interval.high, abs=0.02 * width)
    naive = intervals.mean_interval(values)
    assert ends[1][0] - ends[0][0] > 1.3 * (naive[1][0] - naive[0][0])


def test_resampled_means_are_means_of_whole_images() -> None:
    images = np.array([7, 7, 3, 5, 5, 5])
    values = np.array([1.0, 2.0, 10.0, 100.0, 200.0, 300.0])
    groups = [values[images == image] for image in (3, 5, 7)]
    possible = {
        round(float(np.concatenate(drawn).mean()), 9)
        for drawn in itertools.product(groups, repeat=3)
    }
    means = intervals.bootstrap_means(values, images, resamples=3000)[:, 0]
    assert {round(float(mean), 9) for mean in means} == possible


def test_equal_seeds_give_equal_numbers_and_others_do_not() -> None:
    values = np.random.default_rng(0).random((50, 3))
    first = intervals.bootstrap_means(values, seed=4)
    intervals._draws.cache_clear()
    np.testing.assert_array_equal(first, intervals.bootstrap_means(values, seed=4))
    assert not np.array_equal(first, intervals.bootstrap_means(values, seed=5))
    np.testing.assert_allclose(first[:, 1:2], intervals.bootstrap_means(values[:, 1], seed=4))


def test_what_cannot_be_said_is_nan() -> None:
    assert np.isnan(intervals.mean_interval(np.array([0.5]))).all()
    assert np.isnan(intervals.mean_interval(np.array([0.5, 0.6]), np.array([1, 1]))).all()
    assert np.isnan(intervals.mean_interval(np.empty((0, 2)))).all()
    low, high = intervals.mean_interval(np.array([[0.5, np.nan], [0.6, 0.2], [0.7, 0.1]]))
    assert np.isnan([low[1], high[1]]).all()
    assert 0.5 <= low[0] <= high[0] <= 0.7
    with pytest.raises(UserError, match="between 0 and 1"):
        intervals.mean_interval(np.arange(3.0), confidence=95)


def brute_force_p(sums: list[float]) -> float:
    seen = abs(sum(sums))
    least = seen - 1e-9 * sum(map(abs, sums))
    flipped = [
        abs(sum(sign * value for sign, value in zip(signs, sums, strict=True))) >= least
        for signs in itertools.product([1, -1], repeat=len(sums))
    ]
    return sum(flipped) / len(flipped)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=9))
@settings(max_examples=80, deadline=None)
def test_small_sign_flip_tests_are_exact(differences: list[float]) -> None:
    found = intervals.sign_flip_p(np.array(differences))
    assert found == pytest.approx(brute_force_p(differences))


@given(st.lists(st.tuples(st.integers(0, 4), st.floats(-1, 1)), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_images_flip_as_a_whole(rows: list[tuple[int, float]]) -> None:
    images, differences = (np.array(column) for column in zip(*rows, strict=True))
    sums = [float(differences[images == image].sum()) for image in np.unique(images)]
    found = intervals.sign_flip_p(differences, images)
    scale = max(map(abs, sums))
    if all(abs(value) > 1e-6 * scale for value in sums):
        assert found == pytest.approx(brute_force_p(sums))


def test_large_sign_flip_tests_agree_with_scipy() -> None:
    rng = np.random.default_rng(3)
    for shift in (0.0, 0.1, 0.2):
        differences = rng.normal(shift, 1, 200)
        theirs = scipy.stats.permutation_test(
            (differences,),
            np.mean,
            permutation_type="samples",
            n_resamples=20_000,
            vectorized=True,
            rng=rng,
        )
        found = intervals.sign_flip_p(differences)
        assert found == pytest.approx(theirs.pvalue, abs=0.02)
    assert intervals.sign_flip_p(rng.normal(5, 1, 200)) == pytest.approx(1 / 20_001)


def test_a_comparison_counts_and_signs() -> None:
    method = np.array([3.0, 5.0, 20.0, 4.0])
    baseline = np.array([4.0, 5.0, 20.0, 2.0])
    found = intervals.compare(method, baseline, lower_is_better=True)
    assert (found.wins, found.ties, found.losses) == (1, 2, 1)
    assert found.difference == 0.25
    assert found.low <= 0.25 <= found.high
    higher = intervals.compare(method, baseline)
    assert (higher.wins, higher.losses) == (1, 1)
    assert intervals.compare(np.array([0.9, 0.8]), np.array([0.5, 0.9])).wins == 1
    same = intervals.compare(method, method)
    assert (same.difference, same.p_value, same.ties) == (0, 1.0, 4)
    with pytest.raises(UserError, match="cannot be paired"):
        intervals.compare(method, baseline[:2])


def test_pairing_makes_the_interval_narrow() -> None:
    rng = np.random.default_rng(5)
    hard = rng.normal(0, 10, 100)
    found = intervals.compare(hard + 1 + rng.normal(0, 0.1, 100), hard)
    assert found.high - found.low < 0.1
    assert found.p_value < 0.001


def test_a_whole_leaderboard_takes_about_two_seconds() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 3000, 7000)
    values = rng.random((7000, 14))
    started = time.process_time()
    for _ in range(10):
        intervals.mean_interval(values, images)
    assert time.process_time() - started < 8
