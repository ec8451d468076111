"""Intervals and verdicts, by rules that are fixed before a number is seen."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from lrjax.leaderboard.studies.study import Finding, Verdict
from lrjax.metrics import ranking

RESAMPLES = 2000
SEED = 0
FEWEST_UNITS = 6
"""Below six units no sign-flip test is significant at 5 %: the smallest two-sided p of five is 2 / 32."""
MOST_UNITS = 20

MODELS_RULE = (
    f"The interval holds the middle 95 % of {RESAMPLES:,} resamples of the models, which are taken as independent. "
)
GROUPS_RULE = f"The interval holds the middle 95 % of {RESAMPLES:,} resamples of whole families. "
UNITS_RULE = (
    "The interval is that of the exact sign-flip test over the units, at 95 %; with fewer than six units there is "
    "none, and the claim is undecided. "
)


class Estimate(NamedTuple):
    """A number, the ends of its 95 % interval where it has one, and how many models or units are behind it."""

    value: float
    low: float | None
    high: float | None
    n: int


def verdict(low: float | None, high: float | None, *, expected: int, threshold: float = 0.0) -> Verdict:
    """Decides a claim by the side of the threshold on which the whole interval lies.

    Args:
        low, high: ends of the interval, None where there is none.
        expected: 1 if the claim says "above the threshold", -1 if it says "below".
        threshold: in the unit of the interval.

    Returns:
        "supports", "contradicts", or "undecided" where the interval is missing or holds the threshold.
    """
    if low is None or high is None or low <= threshold <= high:
        return "undecided"
    return "supports" if (low > threshold) == (expected > 0) else "contradicts"


def finding(
    estimate: Estimate, *, claim: str, source: str, measure: str, expected: int, rule: str, threshold: float = 0.0
) -> Finding:
    """Attaches the verdict to a number.

    Args:
        estimate: the number.
        claim: what the paper says, in our words.
        source: where it says so.
        measure: what was computed.
        expected: as in `verdict`.
        rule: how the interval is made; how it decides is added.
        threshold: as in `verdict`.
    """
    side = "above" if expected > 0 else "below"
    rule += f"Supported if it lies wholly {side} {threshold:g}, contradicted if wholly on the other side."
    return Finding(
        claim=claim,
        source=source,
        measure=measure,
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        n=estimate.n,
        verdict=verdict(estimate.low, estimate.high, expected=expected, threshold=threshold),
        rule=rule,
    )


def correlation(x: ArrayLike, y: ArrayLike) -> Estimate | None:
    """Spearman correlation over models with its bootstrap interval.

    Args:
        x, y: one value per model, [M].

    Returns:
        The correlation; None where it is undefined: fewer than four models, or x or y is the same for all of them.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    return Estimate(*ranking.spearman_interval(x, y, resamples=RESAMPLES, seed=SEED), len(x))


def correlation_by_group(x: ArrayLike, y: ArrayLike, groups: Sequence[str]) -> Estimate | None:
    """Spearman correlation over models with the interval of a bootstrap that draws whole groups of models.

    Models of one group are not independent; groups are taken to be.

    Args:
        x, y: one value per model, [M].
        groups: of each model, [M].

    Returns:
        The correlation, with the number of groups; None where it is undefined or there are fewer than six groups.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    members = [np.flatnonzero(np.array(groups) == name) for name in dict.fromkeys(groups)]
    value = rank_correlation(x, y)
    if value is None or len(members) < FEWEST_UNITS:
        return None
    rng = np.random.default_rng(SEED)
    found = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[number] for number in rng.integers(len(members), size=len(members))])
        found.append(rank_correlation(x[rows], y[rows]))
    return percentile_estimate(value, [one for one in found if one is not None], len(members))


def over_models(statistic: Callable[[np.ndarray], np.ndarray], models: int) -> Estimate:
    """A statistic of the models with the percentile interval of a bootstrap over models.

    Args:
        statistic: takes numbers of models, [B, M] integers, one resample per line, and gives its values, [B].
        models: M.
    """
    rows = np.random.default_rng(SEED).integers(models, size=(RESAMPLES, models))
    values = statistic(np.concatenate([np.arange(models)[None], rows]))  # the sample itself first
    return percentile_estimate(float(values[0]), values[1:], models)


def percentile_estimate(value: float, resampled: ArrayLike, n: int) -> Estimate:
    """A number with the percentile interval of a bootstrap, wide enough to hold the number.

    Args:
        value: the number.
        resampled: its values on resamples, [B]; nan where it is undefined.
        n: how many models or units are behind it.
    """
    low, high = np.nanquantile(np.asarray(resampled, np.float64), (0.025, 0.975))
    return Estimate(value, min(float(low), value), max(float(high), value), n)


def correlation_difference(
    first: ArrayLike, second: ArrayLike, targets: ArrayLike, coefficients: Sequence[float] | None = None
) -> Estimate:
    """How much better `first` correlates with the targets than `second` does, over models.

    Args:
        first, second: one value per model, [M], not constant.
        targets: [M, T], no column constant.
        coefficients: [T], of the sum over targets; default their mean.

    Returns:
        sum_t c_t * (Spearman(first, target t) - Spearman(second, target t)).
    """
    first, second, targets = (np.asarray(values, np.float64) for values in (first, second, targets))
    count = targets.shape[1]
    shares = np.full(count, 1 / count) if coefficients is None else np.asarray(coefficients, np.float64)

    def statistic(rows: np.ndarray) -> np.ndarray:
        one, other = (ranking.standardise(ranking.average_ranks(values[rows])) for values in (first, second))
        total = np.zeros(len(rows))
        for column, share in zip(targets.T, shares, strict=True):
            if share:
                total += share * ((one - other) * ranking.standardise(ranking.average_ranks(column[rows]))).sum(-1)
        return total

    return over_models(statistic, len(first))


def over_units(values: ArrayLike, *, value: float | None = None) -> Estimate | None:
    """The centre of few independent values with the interval of the exact sign-flip test.

    The test asks whether the values are spread symmetrically about a centre: then each could as well lie on the other
    side of it. The centres that it does not reject lie between two of the means of all non-empty subsets.

    Args:
        values: one per unit, [U], at most 20.
        value: the estimate of the centre; default the mean.

    Returns:
        The centre; without interval for fewer than six units; None for no unit.

    Raises:
        ValueError: there are more than 20 units.

    Reference: J. A. Hartigan, Using subsample values as typical values, 1969.
    """
    values = np.asarray(values, np.float64)
    units = len(values)
    if not units:
        return None
    if units > MOST_UNITS:
        raise ValueError(f"{units} units have too many subsets; resample them instead")
    centre = float(values.mean() if value is None else value)
    if units < FEWEST_UNITS:
        return Estimate(centre, None, None, units)
    sums, counts = np.zeros(1), np.zeros(1)
    for one in values:
        sums, counts = np.concatenate([sums, sums + one]), np.concatenate([counts, counts + 1])
    means = np.sort(sums[1:] / counts[1:])  # the first subset is empty
    tail = int(0.025 * 2**units)
    return Estimate(centre, min(float(means[tail - 1]), centre), max(float(means[-tail]), centre), units)


def interval_text(estimate: Estimate | None, decimals: int = 2) -> str | None:
    """Returns "0.60 [0.43, 0.74]", without brackets where there is no interval; None where there is no number.

    A value that rounds to zero has no sign.
    """
    if estimate is None:
        return None
    text = f"{estimate.value:z.{decimals}f}"
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} [{estimate.low:z.{decimals}f}, {estimate.high:z.{decimals}f}]"


def rank_correlation(x: ArrayLike, y: ArrayLike) -> float | None:
    """Returns the Spearman correlation without an interval; None where it is undefined."""
    ranks = [ranking.standardise(ranking.average_ranks(np.asarray(values, np.float64))) for values in (x, y)]
    value = float(ranks[0] @ ranks[1])
    return None if np.isnan(value) else value
