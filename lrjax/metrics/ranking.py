"""How sure a ranking of models is: agreement with each data set, sensitivity to alpha, bootstrap intervals (numpy and
scipy, float64).

Symbols: M models, D data sets, Gamma the improved robustness of `lrjax.metrics.robustness`. Rank 1 is the best model,
and models that tie share the best rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import ArrayLike
from scipy import stats

from lrjax.errors import UserError
from lrjax.metrics.robustness import ALPHA, improved_robustness

# Aggregates that differ by less are one rank: the order of summation alone moves them by about 1e-16.
DECIMALS = 12


class Interval(NamedTuple):
    """An estimate and its bootstrap interval."""

    value: float
    low: float
    high: float


def finite(values: ArrayLike, role: str, dimensions: int) -> Float64[np.ndarray, "..."]:
    """Checks an array of numbers.

    Args:
        values: numbers with `dimensions` axes.
        role: what they are, for error messages.
        dimensions: the number of axes asked for.

    Returns:
        The numbers.

    Raises:
        UserError: another number of axes, or a value that is not finite.
    """
    array = np.asarray(values, np.float64)
    if array.ndim != dimensions:
        raise UserError(f"the {role} has shape {list(array.shape)}; give an array with {dimensions} axes")
    if not np.isfinite(array).all():
        where = [int(index) for index in np.argwhere(~np.isfinite(array))[0]]
        raise UserError(f"the {role} at position {where} is {array[tuple(where)]}; leave that model or data set out")
    return array


def weighted_scores(weights: ArrayLike, improved: ArrayLike) -> Float64[np.ndarray, "... M"]:
    """WAR of every model for one or many weight vectors, sum |Gamma * w| / sum |w|.

    Args:
        weights: w, [..., D], finite; not all 0 in any vector. Equal weights give the plain mean of Gamma.
        improved: Gamma, [M, D], finite.

    Returns:
        WAR.

    Raises:
        UserError: the shapes do not fit, a value is not finite, or the weights of a vector sum to 0.

    Reference: arXiv 2502.03950, weighted aggregated robustness.
    """
    improved = finite(improved, "improved robustness", 2)
    weights = np.abs(finite(weights, "weights", max(1, np.ndim(weights))))
    if weights.shape[-1] != improved.shape[1]:
        raise UserError(f"there are {weights.shape[-1]} weights for {improved.shape[1]} data sets; give one for each")
    total = weights.sum(-1, keepdims=True)
    if (total == 0).any():
        raise UserError("the weights sum to 0; give at least one data set a weight")
    return weights @ np.abs(improved).T / total


def average_ranks(aggregate: Float[np.ndarray, "*vectors M"]) -> Float64[np.ndarray, "*vectors M"]:
    """Ranks along the last axis, 1 for the smallest; ties, within rounding, share their mean rank.

    Args:
        aggregate: SAR, WAR or another mean of fractions.

    Returns:
        Ranks from 1 to M.
    """
    return stats.rankdata(np.round(aggregate, DECIMALS), axis=-1)


def standardise(ranks: Float[np.ndarray, "*vectors M"]) -> Float64[np.ndarray, "*vectors M"]:
    """Centres ranks and divides by their norm, so that the dot product of two rows is their Spearman correlation.

    Returns:
        Vectors of unit norm along the last axis, or nan where all ranks are equal.
    """
    centred = ranks - ranks.mean(-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, norm, out=np.full_like(centred, np.nan), where=norm > 0)


def dataset_ranks(improved: ArrayLike, datasets: Sequence[str] | None = None) -> Float64[np.ndarray, "D M"]:
    """The standardised ranks of the models by each data set.

    Args:
        improved: Gamma, [M, D], finite, at least 3 models.
        datasets: D names, for error messages.

    Returns:
        Ranks of unit norm along the last axis.

    Raises:
        UserError: fewer than 3 models, a value that is not finite, or a data set on which all models are equal.
    """
    improved = finite(improved, "improved robustness", 2)
    if len(improved) < 3:
        raise UserError(f"there are {len(improved)} models; a rank correlation needs at least 3")
    standard = standardise(stats.rankdata(improved.T, axis=-1))
    constant = np.isnan(standard[:, 0])
    if constant.any():
        position = int(np.argmax(constant))
        name = repr(datasets[position]) if datasets is not None else f"number {position}"
        raise UserError(f"data set {name} has the same improved robustness for all models; leave it out")
    return standard


def dataset_correlations(
    aggregate: ArrayLike, improved: ArrayLike, *, datasets: Sequence[str] | None = None
) -> Float64[np.ndarray, "D"]:
    """Spearman correlation between an aggregate and the improved robustness on each data set, over models.

    Args:
        aggregate: SAR, WAR or the mean of Gamma, [M], finite fractions; values within 1e-12 tie.
        improved: Gamma, [M, D], finite, at least 3 models.
        datasets: D names, for error messages.

    Returns:
        Correlations from -1 to 1; ties take their mean rank. In the published table "SAR" is the mean of Gamma, not of
        gamma.

    Raises:
        UserError: fewer than 3 models, shapes that do not fit, a value that is not finite, or an aggregate or data set
        that is the same for all models.

    Reference: arXiv 2502.03950, Table 11.
    """
    target = dataset_ranks(improved, datasets)
    aggregate = finite(aggregate, "aggregate", 1)
    if len(aggregate) != target.shape[1]:
        raise UserError(f"there are {len(aggregate)} aggregates for {target.shape[1]} models; give one for each")
    standard = standardise(average_ranks(aggregate))
    if np.isnan(standard[0]):
        raise UserError("the aggregate is the same for all models, so it ranks nothing; give models that differ")
    return target @ standard


def _best_first(scores: Float[np.ndarray, "*vectors M"]) -> Int64[np.ndarray, "*vectors M"]:
    return stats.rankdata(-np.round(scores, DECIMALS), method="min", axis=-1).astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class AlphaSensitivity:
    """What the steepness alpha of the chance discount does to the ranking by WAR.

    Attributes:
        alphas: as given.
        baseline: the alpha that the rankings are compared with.
        war: WAR of the models.
        ranks: from 1.
        spearman, kendall: correlation (tau-b) of WAR with that at the baseline.
        changed: number of models whose rank differs from that at the baseline.
        largest: the largest difference of a rank.
    """

    alphas: Float64[np.ndarray, "A"]
    baseline: float
    war: Float64[np.ndarray, "A M"]
    ranks: Int64[np.ndarray, "A M"]
    spearman: Float64[np.ndarray, "A"]
    kendall: Float64[np.ndarray, "A"]
    changed: Int64[np.ndarray, "A"]
    largest: Int64[np.ndarray, "A"]


def alpha_sensitivity(
    accuracy: ArrayLike,
    reference: ArrayLike,
    classes: ArrayLike,
    weights: ArrayLike,
    alphas: Sequence[float] = (50.0, 100.0, ALPHA, 500.0, 1000.0),
    *,
    baseline: float = ALPHA,
    datasets: Sequence[str] | None = None,
) -> AlphaSensitivity:
    """Ranks the models by WAR for several alpha and compares each ranking with that of the baseline.

    Args:
        accuracy: A_n, [M, D], fractions in [0, 1], at least 3 models.
        reference: A_HR, [M, D], fractions in (0, 1].
        classes: C, [D], integers >= 2.
        weights: w, [D], not all 0.
        alphas: A values > 0.
        baseline: the alpha to compare with, > 0; need not be among `alphas`.
        datasets: D names, for error messages.

    Returns:
        WAR, ranks and their agreement.

    Raises:
        UserError: as `improved_robustness` and `weighted_scores`; fewer than 3 models, no alpha or one that is not
        positive, or a WAR that is the same for all models.

    Reference: arXiv 2502.03950, improved relative robustness; alpha of 100, 200 and 500.
    """
    values = finite(list(alphas), "alphas", 1)
    for alpha in (*values, baseline):
        if not alpha > 0:
            raise UserError(f"alpha is {alpha:g}; it must be above 0")
    if not values.size:
        raise UserError("there is no alpha; give at least one")
    accuracy = finite(accuracy, "accuracy", 2)
    if len(accuracy) < 3:
        raise UserError(f"there are {len(accuracy)} models; a rank correlation needs at least 3")
    war = np.stack(
        [
            weighted_scores(weights, improved_robustness(accuracy, reference, classes, alpha=alpha, datasets=datasets))
            for alpha in (*values, baseline)
        ]
    )  # [A + 1, M], the baseline last
    constant = np.ptp(np.round(war, DECIMALS), axis=1) == 0
    if constant.any():
        raise UserError(f"WAR is the same for all models at alpha={[*values, baseline][np.argmax(constant)]:g}")
    ordinal, ranks = average_ranks(war), _best_first(war)
    moved = np.abs(ranks[:-1] - ranks[-1])
    return AlphaSensitivity(
        alphas=values,
        baseline=float(baseline),
        war=war[:-1],
        ranks=ranks[:-1],
        spearman=np.array([stats.spearmanr(row, ordinal[-1])[0] for row in ordinal[:-1]]),
        kendall=np.array([stats.kendalltau(row, ordinal[-1])[0] for row in ordinal[:-1]]),
        changed=(moved > 0).sum(1),
        largest=moved.max(1),
    )


def _tails(resamples: int, level: float) -> Float64[np.ndarray, "2"]:
    if resamples < 100:
        raise UserError(f"resamples={resamples} is too few for an interval; take at least 100")
    if not 0 < level < 1:
        raise UserError(f"level={level} is no confidence level; take one between 0 and 1, such as 0.95")
    return np.array([(1 - level) / 2, (1 + level) / 2])


def rank_intervals(
    improved: ArrayLike,
    weights: ArrayLike,
    *,
    over: str = "models",
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[Int64[np.ndarray, "M"], Int64[np.ndarray, "M"]]:
    """Bootstrap intervals of the rank of each model by WAR.

    "models" asks what the rank of a model would be among other competitors: each model keeps its WAR and meets M - 1
    competitors drawn with replacement from the other M - 1. The number of better ones is then binomial, so the interval
    is exact and nothing is drawn. The best model keeps rank 1: no resample holds a better one.

    "datasets" asks what the rank would be on other data sets: D data sets, each with its weight, are drawn with
    replacement, and all models are ranked anew. Data sets of weight 0 do not take part.

    Args:
        improved: Gamma, [M, D], finite, at least 3 models.
        weights: w, [D]; at least 3 of them not 0 for "datasets".
        over: what is resampled, "models" or "datasets".
        resamples: number of resamples, at least 100; not used for "models".
        seed: of the resamples; not used for "models".
        level: of the interval, in (0, 1).

    Returns:
        low, high, from 1 to M: the smallest ranks that are not exceeded in (1 - level) / 2 and
        (1 + level) / 2 of the resamples, or the rank itself where that lies outside of them.

    Raises:
        UserError: as `weighted_scores`; too few models or data sets, or an option that is out of range.
    """
    tails = _tails(resamples, level)
    scores = weighted_scores(finite(weights, "weights", 1), improved)
    models = len(scores)
    if models < 3:
        raise UserError(f"there are {models} models; rank intervals need at least 3")
    if over == "models":
        better = (_best_first(scores) - 1) / (models - 1)
        low, high = 1 + stats.binom.ppf(tails[:, None], models - 1, better)
        return low.astype(np.int64), high.astype(np.int64)
    if over != "datasets":
        raise UserError(f'over={over!r} is unknown; use "models" or "datasets"')
    used = np.flatnonzero(np.asarray(weights))
    if used.size < 3:
        raise UserError(f"{used.size} data sets have a weight; resampling data sets needs at least 3")
    counts = np.random.default_rng(seed).multinomial(used.size, np.full(used.size, 1 / used.size), size=resamples)
    drawn = counts * np.asarray(weights, np.float64)[used]
    ranks = _best_first(weighted_scores(drawn, np.asarray(improved, np.float64)[:, used]))  # [resamples, M]
    low, high = np.quantile(ranks, tails, axis=0, method="inverted_cdf").astype(np.int64)
    own = _best_first(scores)
    return np.minimum(low, own), np.maximum(high, own)


def _pairs(**named: ArrayLike) -> list[Float64[np.ndarray, "M"]]:
    arrays = {name: finite(values, name, 1) for name, values in named.items()}
    (first, second), lengths = arrays, [len(values) for values in arrays.values()]
    if lengths[0] != lengths[1]:
        raise UserError(f"{first} has {lengths[0]} values and {second} has {lengths[1]}; give them in pairs")
    if lengths[0] < 3:
        raise UserError(f"there are {lengths[0]} pairs; a bootstrap interval needs at least 3")
    return list(arrays.values())


def spearman_interval(
    x: ArrayLike, y: ArrayLike, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> Interval:
    """Spearman correlation over models with the percentile interval of a bootstrap of pairs, which holds it.

    Args:
        x, y: one value per model, [M], finite, at least 3; any unit, ties take their mean rank.
        resamples: number of resamples, at least 100. Resamples in which x or y is constant are left out.
        seed: of the resamples.
        level: of the interval, in (0, 1).

    Returns:
        The correlation, from -1 to 1, and the ends of its interval.

    Raises:
        UserError: fewer than 3 models, x and y of different length, a value that is not finite, x or y that is the same
        for all models, or an option that is out of range.
    """
    tails = _tails(resamples, level)
    x, y = _pairs(x=x, y=y)
    for name, values in (("x", x), ("y", y)):
        if np.ptp(values) == 0:
            raise UserError(f"{name} is {values[0]:g} for all models, so it correlates with nothing; leave it out")
    rows = np.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    rows = np.concatenate([np.arange(len(x))[None], rows])  # the sample itself first
    ranks = [standardise(stats.rankdata(values[rows], axis=-1)) for values in (x, y)]
    correlations = np.clip((ranks[0] * ranks[1]).sum(-1), -1, 1)
    value, (low, high) = float(correlations[0]), np.nanquantile(correlations[1:], tails)
    return Interval(value, min(float(low), value), max(float(high), value))
