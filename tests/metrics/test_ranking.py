"""Correlations, sensitivity to alpha and bootstrap intervals against the published table of LR0.FM (arXiv 2502.03950),
scipy, and cases counted by hand."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lrjax.data.published import DATASETS, RESOLUTIONS, load_published
from lrjax.errors import UserError
from lrjax.metrics import ranking
from lrjax.metrics.robustness import PAPER_CLASS_COUNTS, PAPER_WEIGHTS, improved_robustness, war

CLASSES = [PAPER_CLASS_COUNTS[name] for name in DATASETS]
WEIGHTS = [PAPER_WEIGHTS[name] for name in DATASETS]

# correlation of the mean of Gamma at 16 x 16 ("SAR") and of WAR-16 with each data set
TABLE_11 = {
    "imagenet": (0.99269, 0.93295),
    "imagenet_a": (0.55646, 0.68070),
    "imagenet_v2": (0.99165, 0.93733),
    "imagenet_r": (0.98201, 0.90682),
    "imagenet_sketch": (0.95086, 0.87241),
    "caltech101": (0.97695, 0.90853),
    "dtd": (0.87676, 0.82507),
    "food101": (0.97771, 0.91575),
    "sun397": (0.98760, 0.94531),
    "cars": (0.96639, 0.91721),
    "aircraft": (0.89746, 0.89016),
    "pets": (0.97224, 0.90114),
    "flowers102": (0.97073, 0.91809),
    "eurosat": (0.25753, 0.49229),
    "ucf101": (0.97324, 0.93516),
}


def published_gamma(resolution):
    top1 = load_published().top1
    low, high = top1[:, :, RESOLUTIONS.index(resolution)], top1[:, :, RESOLUTIONS.index("hr")]
    return improved_robustness(low, high, CLASSES)


def both_correlations(resolution):
    improved = published_gamma(resolution)
    return [
        ranking.dataset_correlations(aggregate, improved, datasets=DATASETS)
        for aggregate in (improved.mean(1), ranking.weighted_scores(WEIGHTS, improved))
    ]


def random_gamma(models=12, datasets=4, seed=0, decimals=1):
    """Coarse values, so that there are ties."""
    return np.round(np.random.default_rng(seed).random((models, datasets)), decimals)


def test_table_11_to_the_printed_digit():
    computed = np.stack(both_correlations(16), axis=1)
    expected = [TABLE_11[name] for name in DATASETS]
    np.testing.assert_allclose(computed, expected, rtol=0, atol=0.5e-5 + 1e-9)


@pytest.mark.parametrize(
    ("resolution", "mean_of_gamma", "weighted"),
    [(16, 0.8887, 0.8653), (32, 0.94538, 0.93731), (64, 0.92936, 0.92146), (128, 0.78141, 0.76490)],
)
def test_mean_correlation_by_resolution(resolution, mean_of_gamma, weighted):
    tolerance = 0.5e-4 if resolution == 16 else 0.5e-5  # 16 is known to four decimals, the others to five
    means = [correlations.mean() for correlations in both_correlations(resolution)]
    assert means == pytest.approx([mean_of_gamma, weighted], rel=0, abs=tolerance + 1e-9)


def test_weighted_scores_are_war_and_the_mean():
    improved = random_gamma()
    weights = np.array([[0.2, 0.0, 1.0, 0.4], [3.0, 3.0, 3.0, 3.0]])
    scores = ranking.weighted_scores(weights, improved)
    expected = [
        [war(dict(zip("abcd", row, strict=True)), dict(zip("abcd", vector, strict=True))) for row in improved]
        for vector in weights
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-14)
    np.testing.assert_allclose(scores[1], improved.mean(1), rtol=1e-14)


def test_correlations_are_those_of_scipy_with_ties():
    improved = random_gamma()
    assert any(len(np.unique(column)) < len(column) for column in improved.T)
    aggregate = np.round(improved.mean(1), 1)
    expected = [stats.spearmanr(aggregate, column).statistic for column in improved.T]
    np.testing.assert_allclose(ranking.dataset_correlations(aggregate, improved), expected, rtol=1e-13)


def test_correlation_by_hand():
    # ranks 1 2 3 4 against 2 1 4 3: 1 - 6 * 4 / (4 * 15) = 0.6; reversed -0.6; a tie in the middle 9 / sqrt(90)
    improved = np.array([[0.2, 0.8, 0.1], [0.1, 0.9, 0.5], [0.4, 0.6, 0.5], [0.3, 0.7, 0.9]])
    np.testing.assert_allclose(
        ranking.dataset_correlations([0.1, 0.2, 0.3, 0.4], improved), [0.6, -0.6, 9 / math.sqrt(90)], rtol=1e-14
    )


def test_aggregates_that_differ_by_rounding_tie():
    improved = random_gamma(models=4)
    tied = ranking.dataset_correlations([0.5, 0.3, 0.3, 0.1], improved)
    np.testing.assert_array_equal(ranking.dataset_correlations([0.5, 0.3 + 1e-15, 0.3, 0.1], improved), tied)
    assert not np.allclose(ranking.dataset_correlations([0.5, 0.3 + 1e-9, 0.3, 0.1], improved), tied)


def test_correlation_mistakes_are_named():
    improved = random_gamma(datasets=2, decimals=3)
    aggregate = improved.mean(1)
    flat = improved.copy()
    flat[:, 1] = 0.5
    with pytest.raises(UserError, match="'pets' has the same improved robustness for all models"):
        ranking.dataset_correlations(aggregate, flat, datasets=["cars", "pets"])
    with pytest.raises(UserError, match="number 1"):
        ranking.dataset_correlations(aggregate, flat)
    with pytest.raises(UserError, match="aggregate is the same"):
        ranking.dataset_correlations(np.full(12, 0.5), improved)
    with pytest.raises(UserError, match=r"2 models.*at least 3"):
        ranking.dataset_correlations(aggregate[:2], improved[:2])
    with pytest.raises(UserError, match="11 aggregates for 12 models"):
        ranking.dataset_correlations(aggregate[1:], improved)
    missing = improved.copy()
    missing[3, 1] = np.nan
    with pytest.raises(UserError, match=r"improved robustness at position \[3, 1\] is nan"):
        ranking.dataset_correlations(aggregate, missing)


@pytest.mark.parametrize(
    ("weights", "message"), [([1.0, 1.0], "2 weights for 4"), ([0.0] * 4, "sum to 0"), ([1, 1, 1, np.inf], "is inf")]
)
def test_weight_mistakes(weights, message):
    with pytest.raises(UserError, match=message):
        ranking.weighted_scores(weights, random_gamma())


def test_alpha_that_swaps_two_models_by_hand():
    # one data set, 2 classes: gaps 0.05, 0.5, 0.5 and gamma 0.9, 0.5, 0.1; the first is 0.9 * (1 - exp(-alpha / 400))
    reference = np.array([[0.55], [1.0], [1.0]])
    accuracy = reference * [[0.9], [0.5], [0.1]]
    result = ranking.alpha_sensitivity(accuracy, reference, [2], [1.0], [200, 1000])
    np.testing.assert_allclose(result.war[:, 0], [0.9 * (1 - math.exp(-0.5)), 0.9 * (1 - math.exp(-2.5))], rtol=1e-12)
    np.testing.assert_array_equal(result.ranks, [[2, 1, 3], [1, 2, 3]])
    np.testing.assert_allclose(result.spearman, [1, 0.5], rtol=1e-14)
    np.testing.assert_allclose(result.kendall, [1, 1 / 3], rtol=1e-14)
    assert result.changed.tolist() == [0, 2]
    assert result.largest.tolist() == [0, 1]
    back = ranking.alpha_sensitivity(accuracy, reference, [2], [1.0], [200], baseline=1000)
    assert back.changed.tolist() == [2] and back.baseline == 1000


def test_alpha_on_the_published_table():
    top1 = load_published().top1
    result = ranking.alpha_sensitivity(top1[:, :, 0], top1[:, :, -1], CLASSES, WEIGHTS, [100, 200, 500])
    assert result.ranks.shape == (3, 66)
    best = [load_published().models[int(np.argmin(row))].name for row in result.ranks]
    assert best[1] == "EVA-02-CLIP-E/14+"
    np.testing.assert_allclose(result.war[1].max(), 0.4026389420478552, rtol=1e-12)
    for row, spearman, kendall in zip(result.war, result.spearman, result.kendall, strict=True):
        assert spearman == pytest.approx(stats.spearmanr(row, result.war[1]).statistic, rel=1e-12)
        assert kendall == pytest.approx(stats.kendalltau(row, result.war[1]).statistic, rel=1e-12)
    assert result.changed[1] == 0 and result.changed[0] > 0


def test_alpha_mistakes():
    accuracy, reference = np.full((3, 2), 0.2), np.full((3, 2), 0.8)
    with pytest.raises(UserError, match="alpha is 0"):
        ranking.alpha_sensitivity(accuracy, reference, [10, 10], [1, 1], [0])
    with pytest.raises(UserError, match="at least one"):
        ranking.alpha_sensitivity(accuracy, reference, [10, 10], [1, 1], [])
    with pytest.raises(UserError, match="same for all models at alpha=100"):
        ranking.alpha_sensitivity(accuracy, reference, [10, 10], [1, 1], [100])
    with pytest.raises(UserError, match="2 models"):
        ranking.alpha_sensitivity(accuracy[:2], reference[:2], [10, 10], [1, 1])


def test_rank_among_resampled_competitors_by_hand():
    # the middle of three models meets 0, 1 or 2 better ones with probability 1/4, 1/2, 1/4
    improved = np.array([[0.9], [0.5], [0.1]])
    low, high = ranking.rank_intervals(improved, [1.0], level=0.95)
    assert low.tolist() == [1, 1, 3] and high.tolist() == [1, 3, 3]
    low, high = ranking.rank_intervals(improved, [1.0], level=0.4)
    assert low.tolist() == [1, 2, 3] and high.tolist() == [1, 2, 3]


def test_rank_among_resampled_competitors_is_what_drawing_gives():
    scores = random_gamma(models=9, datasets=1, decimals=6)
    low, high = ranking.rank_intervals(scores, [1.0], level=0.7)
    rng = np.random.default_rng(5)
    for model in range(9):
        others = np.delete(scores[:, 0], model)
        ranks = 1 + (rng.choice(others, size=(40_000, 8)) > scores[model, 0]).sum(1)
        ends = np.quantile(ranks, [0.15, 0.85], method="inverted_cdf")
        assert [low[model], high[model]] == ends.tolist()


def test_rank_on_resampled_data_sets_is_what_counting_gives():
    improved, weights = random_gamma(models=5, datasets=3, decimals=6, seed=2), np.array([0.5, 1.0, 0.8])
    ranks = []
    for drawn in itertools.product(range(3), repeat=3):
        columns = list(drawn)
        scores = improved[:, columns] @ weights[columns] / weights[columns].sum()
        ranks.append(stats.rankdata(-np.round(scores, 12), method="min"))
    # 13 and 23 of 27 lie between the steps of a cumulative count, so drawing cannot flip them
    level = 2 * 23.5 / 27 - 1
    ends = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0, method="inverted_cdf")
    low, high = ranking.rank_intervals(improved, weights, over="datasets", level=level, resamples=50_000)
    np.testing.assert_array_equal([low, high], ends)
    assert (high > low).any()


def test_rank_intervals_of_the_published_table():
    improved = published_gamma(16)
    scores = ranking.weighted_scores(WEIGHTS, improved)
    rank = stats.rankdata(-scores, method="min")
    for over in ("models", "datasets"):
        low, high = ranking.rank_intervals(improved, WEIGHTS, over=over)
        assert ((low <= rank) & (rank <= high)).all()
        assert low.min() == 1 and high.max() <= 66 and np.median(high - low) > 3
    again = ranking.rank_intervals(improved, WEIGHTS, over="datasets")
    np.testing.assert_array_equal(again, (low, high))
    assert not np.array_equal(ranking.rank_intervals(improved, WEIGHTS, over="datasets", seed=1), again)


def test_data_sets_without_weight_are_not_drawn():
    improved = random_gamma(models=6, datasets=4, decimals=6)
    with_zero = ranking.rank_intervals(improved, [1.0, 0.5, 0.0, 2.0], over="datasets")
    without = ranking.rank_intervals(improved[:, [0, 1, 3]], [1.0, 0.5, 2.0], over="datasets")
    np.testing.assert_array_equal(with_zero, without)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ([1, 1, 1, 1], {"over": "families"}, "unknown"),
        ([1, 1, 0, 0], {"over": "datasets"}, "2 data sets have a weight"),
        ([1, 1, 1, 1], {"resamples": 10}, "at least 100"),
        ([1, 1, 1, 1], {"level": 95}, "between 0 and 1"),
    ],
)
def test_rank_interval_mistakes(weights, options, message):
    with pytest.raises(UserError, match=message):
        ranking.rank_intervals(random_gamma(), weights, **options)


def test_spearman_interval_is_a_bootstrap_of_pairs():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(size=15), 1)
    y = np.round(x + rng.normal(size=15), 1)
    result = ranking.spearman_interval(x, y, resamples=300, seed=4, level=0.9)
    rows = np.random.default_rng(4).integers(15, size=(300, 15))
    resampled = [stats.spearmanr(x[row], y[row]).statistic for row in rows]
    assert result.value == pytest.approx(stats.spearmanr(x, y).statistic, rel=1e-12)
    assert (result.low, result.high) == pytest.approx(tuple(np.quantile(resampled, [0.05, 0.95])), rel=1e-12)
    assert result == ranking.spearman_interval(x, y, resamples=300, seed=4, level=0.9)


def test_spearman_interval_covers_the_correlation_of_the_population():
    rng = np.random.default_rng(0)
    correlation = 0.6  # of a bivariate normal; its Spearman correlation is 6 / pi * asin(r / 2)
    truth = 6 / math.pi * math.asin(correlation / 2)
    covered = 0
    for seed in range(100):
        x, y = rng.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=66).T
        _, low, high = ranking.spearman_interval(x, y, resamples=400, seed=seed)
        covered += low <= truth <= high
    assert 86 <= covered <= 99


def test_spearman_interval_of_a_monotone_relation_and_of_few_models():
    x = np.arange(8.0)
    assert ranking.spearman_interval(x, np.exp(x)) == pytest.approx((1, 1, 1), abs=1e-12)
    assert ranking.spearman_interval(x, -x) == pytest.approx((-1, -1, -1), abs=1e-12)
    # a third of the resamples of three values with a tie is constant, and left out
    value, low, high = ranking.spearman_interval([0, 0, 1], [1, 2, 3])
    assert value == pytest.approx(math.sqrt(3) / 2) and -1 <= low <= value <= high <= 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ranking.spearman_interval([1, 2], [1, 2]), "2 pairs.*at least 3"),
        (lambda: ranking.spearman_interval([1, 2, 3], [1, 2]), "x has 3 values and y has 2"),
        (lambda: ranking.spearman_interval([5, 5, 5], [1, 2, 3]), "x is 5 for all models"),
        (lambda: ranking.spearman_interval([1, 2, 3], [0, 0, 0]), "y is 0 for all models"),
        (lambda: ranking.spearman_interval([1, 2, np.nan], [1, 2, 3]), r"x at position \[2\] is nan"),
        (lambda: ranking.spearman_interval([1, 2, 3], [1, 2, 3], level=1), "between 0 and 1"),
        (lambda: ranking.spearman_interval([1, 2, 3], [1, np.inf, 3]), r"y at position \[1\] is inf"),
        (lambda: ranking.spearman_interval([1, 2, 3], [1, 2, 3], resamples=5), "at least 100"),
    ],
)
def test_interval_mistakes(call, message):
    with pytest.raises(UserError, match=message):
        call()
