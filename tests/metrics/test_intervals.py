"""Score intervals against the likelihood; bootstrap ones against the binomial distribution, which they follow exactly,
and against scipy's."""

import math

import numpy as np
import pytest
from scipy import optimize, stats

from lrjax.metrics.intervals import (
    above_chance,
    accuracy_interval,
    bootstrap_accuracies,
    difference_interval,
    interval,
    interval_around,
    mean_interval,
    right,
)

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


@pytest.mark.parametrize("images", [1, 2, 7, 60, 1000])
def test_an_accuracy_lies_within_its_interval(images):
    for count in {0, 1, images // 3, images - 1, images}:
        low, high = accuracy_interval(np.arange(images) < count)
        assert 0 <= low <= count / images <= high <= 1 and low < high
        # the ends are the accuracies from which the observed one is 1.96 standard errors away
        for end in {low, high} - {0.0, 1.0}:
            assert abs(count / images - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / images))


def test_what_is_above_chance():
    assert above_chance([0.5, 0.59, 0.6, 0.1], 100, 2).tolist() == [False, False, True, False]
    assert above_chance(0.11, [100, 10_000], 10).tolist() == [False, True]
    assert not above_chance(1.0, 100, 1)  # one class is always right
    # the interval of what is above chance does not hold it
    for count in range(61):
        low, _ = accuracy_interval(np.arange(60) < count)
        assert above_chance(count / 60, 60, 4) == (low > 0.25)


def pair(both, gained, lost, neither):
    """The hits of two systems on the same images."""
    counts = (both, gained, lost, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def score_by_likelihood(difference, gained, lost, images):
    """The score of a difference, the discordant shares being those of the greatest likelihood."""

    def loss(share):  # of images that only the second gets right
        same = images - gained - lost
        with np.errstate(divide="ignore"):
            return -sum(n * math.log(p) if n else 0 for n, p in
                        ((gained, share + difference), (lost, share), (same, 1 - 2 * share - difference)))  # fmt: skip

    least, most = max(0.0, -difference), (1 - difference) / 2
    share = optimize.minimize_scalar(loss, bounds=(least + 1e-13, most - 1e-13), options={"xatol": 1e-12}).x
    variance = (2 * share + difference - difference**2) / images
    return ((gained - lost) / images - difference) / math.sqrt(variance)


@pytest.mark.parametrize("counts", [(36, 12, 2, 0), (30, 3, 9, 8), (0, 5, 1, 4), (10, 1, 1, 0)])
def test_a_paired_difference_against_the_likelihood(counts):
    low, high = difference_interval(*pair(*counts))
    gained, lost, images = counts[1], counts[2], sum(counts)
    assert score_by_likelihood(low, gained, lost, images) == pytest.approx(1.959964, abs=1e-3)
    assert score_by_likelihood(high, gained, lost, images) == pytest.approx(-1.959964, abs=1e-3)
    backwards = difference_interval(*pair(*counts)[::-1])
    np.testing.assert_allclose(backwards, (-high, -low), atol=1e-9)


def test_a_paired_difference_lies_within_its_interval():
    rng = np.random.default_rng(3)
    for _ in range(300):
        images = int(rng.integers(1, 80))
        first, second = (rng.random(images) < rng.choice([0, 0.02, 0.5, 0.98, 1]) for _ in range(2))
        low, high = difference_interval(first, second)
        assert -1 <= low <= first.mean() - second.mean() <= high <= 1 and low < high
    for same in (np.zeros(60, bool), np.ones(60, bool), np.arange(60) < 20):
        width = 1.959964**2 / (60 + 1.959964**2)  # not nothing, although no image differs
        np.testing.assert_allclose(difference_interval(same, same), (-width, width), rtol=1e-6)
    np.testing.assert_allclose(difference_interval(np.ones(9, bool), np.zeros(9, bool))[1], 1)


def test_the_interval_of_a_mean_by_hand():
    low, high = mean_interval([0.5, 0.0], [(0.2, 0.6), (0.0, 0.4)])
    assert (low, high) == pytest.approx((0.25 - 0.3 / 2, 0.25 + math.hypot(0.1, 0.4) / 2))
    assert mean_interval([0.5], [(0.2, 0.6)]) == pytest.approx((0.2, 0.6))


def test_an_interval_around_a_number_holds_it(replicates):
    draws = replicates[:, 0]
    assert interval_around(0.7, draws) == pytest.approx(interval(draws))
    assert interval_around(0.0, draws) == pytest.approx((0.0, interval(draws)[1]))
    assert interval_around(1.0, draws) == pytest.approx((interval(draws)[0], 1.0))
    assert interval_around(1.0, replicates[:, 2]) is None  # every image is right
