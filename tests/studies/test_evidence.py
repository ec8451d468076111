"""Intervals and verdicts against enumeration, scipy and hand-made values."""

import itertools

import numpy as np
import pytest
from scipy import stats

from lrjax.leaderboard.studies import evidence


@pytest.mark.parametrize(
    ("low", "high", "expected", "threshold", "verdict"),
    [
        (0.1, 0.3, 1, 0, "supports"),
        (0.1, 0.3, -1, 0, "contradicts"),
        (-0.3, -0.1, -1, 0, "supports"),
        (-0.3, -0.1, 1, 0, "contradicts"),
        (-0.1, 0.3, 1, 0, "undecided"),
        (0.0, 0.3, 1, 0, "undecided"),  # touches
        (0.1, 0.3, 1, 0.5, "contradicts"),
        (None, None, 1, 0, "undecided"),
    ],
)
def test_verdict(low, high, expected, threshold, verdict):
    assert evidence.verdict(low, high, expected=expected, threshold=threshold) == verdict


def _p(differences, centre):
    """Two-sided p of the sign-flip test, by enumeration."""
    moved = np.asarray(differences) - centre
    sums = [abs(np.dot(signs, moved)) for signs in itertools.product((-1, 1), repeat=len(moved))]
    return np.mean(np.array(sums) >= abs(moved.sum()) - 1e-12)


@pytest.mark.parametrize("units", [6, 7, 9])
def test_sign_flip_interval_holds_what_the_test_does_not_reject(units):
    values = np.random.default_rng(units).normal(1, 1, units)
    estimate = evidence.over_units(values)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.n == units
    for end, outwards in ((estimate.low, -1), (estimate.high, 1)):
        assert _p(values, end + outwards * 1e-6) <= 0.05
        assert _p(values, end - outwards * 1e-6) > 0.05


def test_six_units_span_their_range():
    assert evidence.over_units([3, 1, 2, 6, 5, 4])[1:3] == (1, 6)


def test_five_units_have_no_interval_and_none_no_estimate():
    assert evidence.over_units([1, 2, 3, 4, 5]) == (3, None, None, 5)
    assert evidence.over_units([]) is None
    with pytest.raises(ValueError, match="21 units"):
        evidence.over_units(range(21))


def test_correlation_is_that_of_scipy_and_undefined_cases_have_none():
    rng = np.random.default_rng(0)
    x, y = rng.integers(5, size=(2, 30))
    estimate = evidence.correlation(x, y)
    assert estimate.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert estimate.low < estimate.value < estimate.high
    assert evidence.correlation([1, 2, 3], [1, 2, 3]) is None
    assert evidence.correlation([1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert evidence.rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert evidence.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)


def test_correlation_difference_is_a_weighted_sum():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(2, 40))
    targets = first[:, None] + rng.normal(size=(40, 3))

    def spearman(x, column):
        return stats.spearmanr(x, targets[:, column]).statistic

    differences = [spearman(first, column) - spearman(second, column) for column in range(3)]
    mean = evidence.correlation_difference(first, second, targets)
    assert mean.value == pytest.approx(np.mean(differences))
    assert 0 < mean.low < mean.value < mean.high
    assert evidence.correlation_difference(first, second, targets, [1, 0, 2]).value == pytest.approx(
        differences[0] + 2 * differences[2]
    )
    same = evidence.correlation_difference(first, first, targets)
    assert same[:3] == (0, 0, 0)


def test_models_of_a_group_are_drawn_together():
    # within each group y falls with x, between groups it rises: only whole groups show how little the rise is known
    x = np.concatenate([10 * group + np.arange(5) for group in range(6)])
    y = np.concatenate([level - np.arange(5) for level in (0, 30, 10, 40, 20, 50)])
    groups = [name for name in "abcdef" for _ in range(5)]
    by_group, by_model = evidence.correlation_by_group(x, y, groups), evidence.correlation(x, y)
    assert by_group.value == pytest.approx(by_model.value)
    assert by_group.high - by_group.low > by_model.high - by_model.low
    assert by_group.n == 6
    assert evidence.correlation_by_group(x, y, ["a"] * 15 + ["b"] * 15) is None


def test_interval_text():
    assert evidence.interval_text(evidence.Estimate(0.603, 0.41, 0.74, 66)) == "0.60 [0.41, 0.74]"
    assert evidence.interval_text(evidence.Estimate(3.14, None, None, 4), 1) == "3.1"
    assert evidence.interval_text(None) is None


def test_an_interval_holds_its_number_where_resamples_lie_on_one_side():
    draws = np.linspace(0.2, 0.4, 201)
    assert evidence.percentile_estimate(0.3, draws, 9) == pytest.approx((0.3, 0.205, 0.395, 9))
    assert evidence.percentile_estimate(0.1, [*draws, np.nan], 9) == pytest.approx((0.1, 0.1, 0.395, 9))
    assert evidence.percentile_estimate(0.5, draws, 9) == pytest.approx((0.5, 0.205, 0.5, 9))
    # resamples of models have ties, which lower the greatest value of a spread
    spread = evidence.over_models(lambda rows: np.ptp(np.arange(5)[rows], axis=1), 5)
    assert spread.low < spread.value == spread.high == 4
    skewed = evidence.over_units([1, 1, 1, 1, 1, 1, 9], value=9.0)
    assert skewed.high == 9
