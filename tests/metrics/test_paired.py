"""Paired comparisons: by hand, against scipy and scikit-learn, and by drawing data of a known difference."""

import math

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from lrjax.errors import UserError
from lrjax.metrics.intervals import interval
from lrjax.metrics.paired import bootstrap_p, detectable_difference, discordant, holm, mcnemar, paired_bootstrap


def pair(both, gained, lost, neither):
    counts = (both, gained, lost, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


def test_mcnemar_by_hand():
    assert discordant(*pair(7, 5, 1, 3)) == (5, 1)
    assert mcnemar(*pair(7, 5, 1, 3)) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(*pair(0, 1, 5, 90)) == pytest.approx(14 / 64)  # what both get right or wrong tells nothing
    assert mcnemar(*pair(9, 3, 3, 0)) == 1
    assert mcnemar(*pair(9, 0, 0, 4)) == 1


def test_mcnemar_approaches_the_chi_squared_test():
    gained, lost = 1150, 1000
    expected = stats.chi2.sf((abs(gained - lost) - 1) ** 2 / (gained + lost), 1)  # corrected for continuity
    assert mcnemar(*pair(5000, gained, lost, 500)) == pytest.approx(expected, rel=0.01)


def test_the_detectable_difference_by_hand():
    # Connor's formula for 20 points and 40 % discordant pairs: n = (1.960 sqrt(.4) + .842 sqrt(.36))^2 / .04
    examples = (1.959964 * math.sqrt(0.4) + 0.841621 * math.sqrt(0.36)) ** 2 / 0.04
    assert examples == pytest.approx(76.1, abs=0.05)
    assert detectable_difference(0.4, 76) == pytest.approx(0.2, abs=2e-4)


@pytest.mark.parametrize(("share", "examples", "power"), [(0.05, 300, 0.8), (0.3, 60, 0.8), (0.9, 40, 0.95)])
def test_the_detectable_difference_solves_the_equation(share, examples, power):
    found = detectable_difference(share, examples, power=power)
    level, miss = stats.norm.ppf([0.975, power])
    needed = (level * math.sqrt(share) + miss * math.sqrt(share - found**2)) ** 2 / found**2
    assert 0 < found <= share and needed == pytest.approx(examples)


def test_the_detectable_difference_is_found_four_times_in_five():
    share, examples = 0.2, 400
    difference = detectable_difference(share, examples)
    rates = ((share + difference) / 2, (share - difference) / 2, 1 - share)
    drawn = np.random.default_rng(0).multinomial(examples, rates, size=4000)
    score = (drawn[:, 0] - drawn[:, 1]) / np.sqrt(drawn[:, 0] + drawn[:, 1])
    assert (np.abs(score) > 1.959964).mean() == pytest.approx(0.8, abs=0.02)


def test_what_no_number_of_discordant_examples_shows():
    assert detectable_difference(0.0, 10**6) is None  # no example differs, which tells nothing of how many might
    assert detectable_difference(0.01, 100) is None  # 1 discordant example
    assert detectable_difference(1.0, 2) is None


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    np.testing.assert_allclose(holm([0.02, 0.02]), [0.04, 0.04])
    assert holm([0.03]).tolist() == [0.03] and holm([]).tolist() == []


def test_holm_rejects_what_its_steps_do():
    values = np.random.default_rng(2).random((200, 6)) ** 3
    for one in values:
        rejected, order = np.zeros(6, bool), np.argsort(one)
        for step, place in enumerate(order):
            if one[place] > 0.05 / (6 - step):
                break
            rejected[place] = True
        assert ((holm(one) <= 0.05) == rejected).all()


@pytest.mark.parametrize("values", [[0.1, 1.1], [-0.1], [float("nan")]])
def test_what_is_no_p_value(values):
    with pytest.raises(UserError, match="outside 0 to 1"):
        holm(values)


def test_the_difference_of_two_areas_as_scipy_has_it():
    rng = np.random.default_rng(4)
    label = rng.random(120) < 0.5
    good, bad = label + rng.normal(size=120), label + 3 * rng.normal(size=120)

    def area(scores, labels):
        return float(roc_auc_score(labels, scores))

    drawn = paired_bootstrap(area, (good, label), (bad, label), seed=1, replicates=600)
    expected = stats.bootstrap(
        (good, bad, label), lambda one, other, labels: area(one, labels) - area(other, labels), paired=True,
        vectorized=False, method="percentile", n_resamples=600, rng=2,
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(interval(drawn), expected, atol=0.03)
    np.testing.assert_array_equal(paired_bootstrap(area, (good, label), (good, label), seed=1, replicates=50), 0)


def test_a_mean_is_drawn_as_its_standard_error_says():
    rng = np.random.default_rng(5)
    first = rng.random(200)
    second = first + rng.normal(0.1, 0.2, 200)
    drawn = paired_bootstrap(np.mean, (first,), (second,), seed=[0, 3], replicates=4000)
    assert drawn.mean() == pytest.approx((first - second).mean(), abs=0.001)
    assert drawn.std() == pytest.approx((first - second).std() / math.sqrt(200), rel=0.05)
    np.testing.assert_array_equal(drawn, paired_bootstrap(np.mean, (first,), (second,), seed=[0, 3], replicates=4000))


def test_what_cannot_be_drawn():
    three, four = np.arange(3.0), np.arange(4.0)
    with pytest.raises(UserError, match=r"has \[3, 4\]"):
        paired_bootstrap(np.mean, (three,), (four,), seed=0)
    with pytest.raises(UserError, match=r"has \[0\]"):
        paired_bootstrap(np.mean, (three[:0],), (three[:0],), seed=0)
    with pytest.raises(UserError, match="undefined on 9 of 9 draws of 3 examples"):
        paired_bootstrap(lambda values: float("nan"), (three,), (three,), seed=0, replicates=9)


def test_the_p_value_of_replicates():
    assert bootstrap_p(np.arange(1.0, 1000.0)) == pytest.approx(2 / 1000)  # none at or below 0
    assert bootstrap_p(np.append(np.full(24, -1.0), np.ones(975))) == pytest.approx(2 * 25 / 1000)
    assert bootstrap_p(-np.append(np.full(24, -1.0), np.ones(975))) == pytest.approx(2 * 25 / 1000)
    assert bootstrap_p(np.zeros(99)) == 1
    draws = np.random.default_rng(6).normal(1.0, 0.5, 200_000)
    assert bootstrap_p(draws) == pytest.approx(2 * stats.norm.sf(2), rel=0.05)
