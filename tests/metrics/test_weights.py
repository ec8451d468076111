"""The weight search against the published weights of LR0.FM (arXiv 2502.03950) and problems with a known answer."""

import sys

import numpy as np
import pytest
from scipy import stats

from lrjax.data.published import DATASETS, RESOLUTIONS, load_published
from lrjax.errors import UserError
from lrjax.metrics import weights as search
from lrjax.metrics.ranking import weighted_scores
from lrjax.metrics.robustness import PAPER_CLASS_COUNTS, PAPER_WEIGHTS, improved_robustness

NAMES = ("cars", "dtd", "pets")


@pytest.fixture(scope="module")
def published():
    top1 = load_published().top1
    low, high = top1[:, :, RESOLUTIONS.index(16)], top1[:, :, RESOLUTIONS.index("hr")]
    return improved_robustness(low, high, [PAPER_CLASS_COUNTS[name] for name in DATASETS])


@pytest.fixture(scope="module")
def synthetic():
    return np.random.default_rng(0).random((30, 3))


def coefficients():
    return [search.PAPER_COEFFICIENTS.get(name, 0.0) for name in DATASETS]


def test_objective_of_the_published_weights(published):
    population = np.array([np.ones(15), [PAPER_WEIGHTS[name] for name in DATASETS]])
    values = search.objective(population, published, coefficients())
    np.testing.assert_allclose(values, [3.53203, 3.73358], rtol=0, atol=0.5e-5 + 1e-9)
    assert search.objective(population[1], published, coefficients()) == pytest.approx(values[1], rel=1e-14)
    np.testing.assert_allclose(search.objective(7 * population, published, coefficients()), values, rtol=1e-14)


def test_objective_is_the_sum_of_scipy_correlations_with_ties():
    improved = np.round(np.random.default_rng(1).random((12, 3)), 1)
    population, factors = np.array([[[0.5, 1.0, 0.0], [1.0, 1.0, 1.0]]]), [2.0, -1.0, 0.5]
    values = search.objective(population, improved, factors)
    assert values.shape == (1, 2)
    for value, vector in zip(values[0], population[0], strict=True):
        scores = np.round(weighted_scores(vector, improved), 12)
        expected = sum(
            factor * stats.spearmanr(scores, column).statistic
            for factor, column in zip(factors, improved.T, strict=True)
        )
        assert value == pytest.approx(expected, rel=1e-12)


def test_weights_that_rank_nothing_are_worth_nothing():
    improved = np.array([[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]])
    np.testing.assert_allclose(search.objective([[1, 1], [1, 0], [0, 1]], improved, [1, 0]), [0, 1, -1], atol=1e-14)


@pytest.mark.parametrize("seed", [0, 1])
def test_search_beats_the_published_weights_without_knowing_them(published, seed):
    result = search.search_weights(published, DATASETS, seed=seed, generations=300, baselines={"paper": PAPER_WEIGHTS})
    assert result.value > 3.77 > result.values["paper"] == pytest.approx(3.73358, abs=1e-5)
    assert result.values["equal"] == pytest.approx(3.53203, abs=1e-5)
    assert list(result.weights) == list(DATASETS)
    assert max(result.weights.values()) == 1.0 and min(result.weights.values()) >= 0.01
    assert result.correlations["equal"]["eurosat"] == pytest.approx(0.25753, abs=1e-5)
    assert result.correlations["paper"]["eurosat"] == pytest.approx(0.49229, abs=1e-5)
    total = sum(result.coefficients[name] * value for name, value in result.correlations["found"].items())
    assert result.value == result.values["found"] == pytest.approx(total, rel=1e-12)
    recomputed = search.objective(list(result.weights.values()), published, coefficients())
    assert result.value == pytest.approx(recomputed, rel=1e-12)
    assert result.evaluations == 301 * 8 * 15


def test_search_is_deterministic_and_the_seed_counts(published):
    first, again, other = (search.search_weights(published, DATASETS, seed=seed, generations=20) for seed in (3, 3, 4))
    assert first == again
    assert first.weights != other.weights


def test_start_is_among_the_candidates(published):
    without = search.search_weights(published, DATASETS, generations=1)
    with_start = search.search_weights(published, DATASETS, generations=1, start=PAPER_WEIGHTS)
    assert without.value < 3.733 < 3.7335 < with_start.values["start"] <= with_start.value
    assert "start" not in without.values


def test_equal_weights_are_among_the_candidates():
    # ten noisy copies of one ranking, all of which count: their mean is hard to beat
    rng = np.random.default_rng(0)
    improved = rng.random((200, 1)) + rng.random((200, 10))
    names = [f"copy{number}" for number in range(10)]
    result = search.search_weights(improved, names, coefficients=dict.fromkeys(names, 1.0), generations=1)
    assert result.value >= result.values["equal"] > 7


@pytest.mark.parametrize("wanted", NAMES)
def test_search_finds_the_data_set_that_matters(synthetic, wanted):
    result = search.search_weights(synthetic, NAMES, coefficients={wanted: 1.0}, generations=100)
    assert result.value > 0.999 > result.values["equal"]
    assert result.weights[wanted] == 1
    assert all(weight < 0.1 for name, weight in result.weights.items() if name != wanted)
    assert result.coefficients == {name: float(name == wanted) for name in NAMES}


def test_search_respects_bounds(synthetic):
    bounds = (0.5, 0.7)
    result = search.search_weights(
        synthetic,
        NAMES,
        coefficients={"dtd": 1.0},
        bounds=bounds,
        generations=50,
        start={"cars": 9, "dtd": 1, "pets": 0},
    )
    assert result.bounds == bounds
    assert result.weights["dtd"] == 0.7
    assert all(0.5 <= weight <= 0.7 for weight in result.weights.values())
    free = search.search_weights(synthetic, NAMES, coefficients={"dtd": 1.0}, generations=50)
    assert result.values["equal"] <= result.value < free.value


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coefficients": {"dttd": 1.0}}, "unknown data set 'dttd'; take dtd"),
        ({}, "unknown data set 'imagenet'; take cars or dtd or pets"),
        ({"coefficients": {"dtd": 0.0}}, "coefficients are 0"),
        ({"coefficients": {"dtd": float("nan")}}, "is nan"),
        ({"bounds": (0, 1)}, "0 < lowest < highest"),
        ({"bounds": (1, 0.5)}, "0 < lowest < highest"),
        ({"start": {"dtd": 1.0}}, "start weights have none for cars, pets"),
        ({"baselines": {"mine": {"dtd": 1.0, "cars": -1.0, "pets": 1.0}}}, "mine weights must be 0 or more"),
        ({"baselines": {"found": dict.fromkeys(NAMES, 1.0)}}, "cannot be named 'found'"),
        ({"generations": 0}, "generations=0"),
        ({"trials": 0}, "trials=0"),
        ({"optimizer": "adam"}, "'adam' is unknown"),
    ],
)
def test_search_mistakes(synthetic, options, message):
    given = options if "coefficients" in options or not options else {"coefficients": {"dtd": 1.0}, **options}
    with pytest.raises(UserError, match=message):
        search.search_weights(synthetic, NAMES, **given)


def test_data_mistakes(synthetic):
    with pytest.raises(UserError, match="3 data sets; name each once"):
        search.search_weights(synthetic, ["cars", "dtd"])
    with pytest.raises(UserError, match="name each once"):
        search.search_weights(synthetic, ["cars", "dtd", "dtd"])
    with pytest.raises(UserError, match="2 models"):
        search.search_weights(synthetic[:2], NAMES, coefficients={"dtd": 1.0})
    with pytest.raises(UserError, match="'pets' has the same"):
        search.search_weights(synthetic * [1, 1, 0], NAMES, coefficients={"dtd": 1.0})
    with pytest.raises(UserError, match="2 coefficients for 3"):
        search.objective(np.ones(3), synthetic, [1, 1])


def test_ax_that_is_missing_is_named(synthetic, monkeypatch):
    monkeypatch.setitem(sys.modules, "ax", None)
    monkeypatch.delitem(sys.modules, "ax.api.client", raising=False)
    with pytest.raises(UserError, match="pip install ax-platform"):
        search.search_weights(synthetic, NAMES, coefficients={"dtd": 1.0}, optimizer="ax")


def test_ax(synthetic):
    pytest.importorskip("ax.api.client", reason="the extra `ax` is not installed")
    first, again = (
        search.search_weights(synthetic, NAMES, coefficients={"dtd": 1.0}, optimizer="ax", trials=12, seed=1)
        for _ in range(2)
    )
    assert first == again
    assert first.evaluations == 12 and first.optimizer == "ax"
    assert first.values["equal"] + 0.1 < first.value <= 1
    assert all(0.01 <= weight <= 1 for weight in first.weights.values())
