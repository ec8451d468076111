"""Bootstrap intervals against the binomial distribution, which they follow exactly, and against scipy's."""

import numpy as np
import pytest
from scipy import stats

from lrjax.metrics.intervals import bootstrap_accuracies, interval, right

N = 200


@pytest.fixture(scope="module")
def hits():
    rng = np.random.default_rng(5)
    first = rng.random(N) < 0.7
    return np.stack([first, np.where(rng.random(N) < 0.9, first, ~first), np.ones(N, bool)])


@pytest.fixture(scope="module")
def replicates(hits):
    return bootstrap_accuracies(hits, seed=0, replicates=20_000)


def test_one_accuracy_is_binomial(hits, replicates):
    assert replicates.shape == (20_000, 3)
    for system in range(2):
        exact = stats.binom(N, hits[system].mean())
        low, high = interval(replicates[:, system])
        assert abs(low - exact.ppf(0.025) / N) <= 1.01 / N
        assert abs(high - exact.ppf(0.975) / N) <= 1.01 / N
        assert replicates[:, system].std() == pytest.approx(exact.std() / N, rel=0.02)
    np.testing.assert_array_equal(replicates[:, 2], 1)


def test_differences_are_paired(hits, replicates):
    difference = hits[0].astype(float) - hits[1]
    paired = difference.std() / np.sqrt(N)
    drawn = (replicates[:, 0] - replicates[:, 1]).std()
    assert drawn == pytest.approx(paired, rel=0.02)
    unpaired = np.hypot(hits[0].std(), hits[1].std()) / np.sqrt(N)
    assert drawn < 0.6 * unpaired


def test_interval_of_a_ratio_as_scipy_has_it(hits, replicates):
    def gamma(low, high, axis):
        return low.mean(axis=axis) / high.mean(axis=axis)

    expected = stats.bootstrap(
        (hits[1], hits[0]), gamma, paired=True, vectorized=True, method="percentile", n_resamples=20_000, rng=1
    ).confidence_interval
    np.testing.assert_allclose(interval(replicates[:, 1] / replicates[:, 0]), expected, atol=0.005)
    wide = interval(replicates[:, 0], confidence=0.99)
    narrow = interval(replicates[:, 0], confidence=0.5)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_seed_fixes_the_draws_whatever_the_size(hits):
    same = bootstrap_accuracies(hits, seed=3)
    np.testing.assert_array_equal(same, bootstrap_accuracies(hits.tolist(), seed=3))
    assert (same != bootstrap_accuracies(hits, seed=4)).any()
    many = np.random.default_rng(0).random((70, 300)) < 0.5  # every image has a pattern of its own
    means = bootstrap_accuracies(many, seed=0, replicates=4000)
    np.testing.assert_allclose(means.mean(axis=0), many.mean(axis=1), atol=0.003)
    np.testing.assert_array_equal(bootstrap_accuracies([[True], [False]], seed=0), [[1.0, 0.0]] * 2000)


def test_right_by_hand():
    samples = {"index": np.array([2, 0, 1]), "label": np.array([4, 5, 6]), "top5": np.array([[4, 1], [1, 5], [6, 2]])}
    assert right(samples).tolist() == [False, True, True]
    several = samples | {"label": np.array([[0, 3], [1, -1], [-1, -1]])}
    assert right(several).tolist() == [True, False, False]
