"""Two systems on the same examples: is one better, how sure is that, and how small a difference could have been seen?

Where each example is right or wrong, what tells is only the examples that one system gets right and the other wrong,
the discordant ones. `intervals.difference_interval` has the interval of that difference. Statistics that are no mean
over examples, as a calibration error or an area under a curve, have a bootstrap.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import ArrayLike
from scipy import stats

from lrjax.errors import UserError
from lrjax.metrics.intervals import CONFIDENCE, REPLICATES

POWER = 0.8


def discordant(first: Bool[np.ndarray, "N"], second: Bool[np.ndarray, "N"]) -> tuple[int, int]:
    """Counts the examples that only the first system gets right, and those that only the second does.

    Args:
        first, second: whether each example is right, the same ones in the same order.
    """
    return int((first & ~second).sum()), int((~first & second).sum())


def mcnemar(first: Bool[np.ndarray, "N"], second: Bool[np.ndarray, "N"]) -> float:
    """Returns the exact two-sided p value of McNemar's test that two systems are equally often right.

    If they are, each discordant example is a fair coin.

    Args:
        first, second: whether each example is right, the same ones in the same order.

    Returns:
        The p value, 0 to 1; 1 where no example is discordant.

    Reference: Q. McNemar, Note on the sampling error of the difference between correlated proportions or percentages,
    1947; the exact form: A. Agresti, Categorical Data Analysis, 2013, section 11.1.1.
    """
    gained, lost = discordant(first, second)
    return float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def detectable_difference(share: float, examples: int, *, power: float = POWER) -> float | None:
    """Returns the smallest difference of two paired proportions that McNemar's test would have found.

    Args:
        share: of the examples that are discordant, 0 to 1.
        examples: their number, >= 1.
        power: how often it would be found, 0.5 to 1, at a two-sided level of 1 - `CONFIDENCE`.

    Returns:
        A fraction, 0 to `share`; None where none can be, for want of (discordant) examples.

    Reference: R. J. Connor, Sample size for testing differences in proportions for the paired-sample design,
    Biometrics 43, 1987, solved for the difference: it is a root of n d^2 = (z_a sqrt(s) + z_b sqrt(s - d^2))^2.
    """
    level, miss = (float(stats.norm.ppf(one)) for one in ((1 + CONFIDENCE) / 2, power))
    inside = examples + miss**2 - level**2
    if share == 0 or inside < 0:
        return None
    least = float(np.sqrt(share) * (level * np.sqrt(examples) + miss * np.sqrt(inside)) / (examples + miss**2))
    return least if least <= share else None


def detectable_by_error(error: float, *, power: float = POWER) -> float | None:
    """Returns the smallest difference that a test with a standard error would have found, as those of a bootstrap.

    Args:
        error: standard error of the difference, >= 0.
        power: how often it would be found, 0.5 to 1, at a two-sided level of 1 - `CONFIDENCE`.

    Returns:
        The difference, above 0; None of no error, which is no certainty.

    Reference: H. S. Bloom, Minimum detectable effects, Evaluation Review 19, 1995.
    """
    return float(stats.norm.ppf([(1 + CONFIDENCE) / 2, power]).sum() * error) or None


def holm(values: ArrayLike) -> Float64[np.ndarray, "K"]:
    """Corrects the p values of several comparisons, such that one false finding among all is as rare as among one.

    Args:
        values: p values, [K], 0 to 1.

    Returns:
        Corrected ones in the same order, 0 to 1, each to be held against the level as if it were alone.

    Raises:
        UserError: a value is not from 0 to 1.

    Reference: S. Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    values = np.asarray(values, np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise UserError("there are p values outside 0 to 1; give probabilities")
    order, corrected = np.argsort(values, kind="stable"), np.empty(len(values))
    steps = values[order] * np.arange(len(values), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected


def paired_bootstrap(
    statistic: Callable[..., float],
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    *,
    seed: int | Sequence[int],
    replicates: int = REPLICATES,
) -> Float64[np.ndarray, "{replicates}"]:
    """Draws the same examples for two systems again and again and returns the difference of a statistic on each draw.

    Args:
        statistic: of the arrays of one system, for instance of scores and labels.
        first: the arrays of one system, [n, ...] each, n >= 1; they become the arguments of the statistic.
        second: those of the other, of the same examples in the same order.
        seed: of the draws, which depend on it and on n alone: the same examples are drawn in other calls with both.
        replicates: number of draws.

    Returns:
        Those of the first minus those of the second.

    Raises:
        UserError: the arrays have different lengths, or the statistic is undefined on a draw.

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 8.
    """
    lengths = {len(array) for array in (*first, *second)}
    if len(lengths) != 1 or lengths == {0}:
        raise UserError(f"a paired bootstrap needs arrays of the same examples, but has {sorted(lengths)} of them")
    (examples,) = lengths
    generator, found = np.random.default_rng(seed), np.empty(replicates)
    for number in range(replicates):
        drawn = generator.integers(examples, size=examples)
        one, other = (statistic(*(array[drawn] for array in arrays)) for arrays in (first, second))
        found[number] = one - other
    if missing := int((~np.isfinite(found)).sum()):
        raise UserError(f"the statistic is undefined on {missing} of {replicates} draws of {examples} examples")
    return found


def bootstrap_p(replicates: Float[np.ndarray, "B"]) -> float:
    """Returns the two-sided p value of a difference that is 0: the level at which its percentile interval reaches 0.

    Args:
        replicates: of the difference, B >= 1.

    Returns:
        The p value, 2 / (B + 1) to 1; no finer than the number of replicates.

    Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 15.4; one is added to the counts as
    by Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 4.2.3.
    """
    below, above = int((replicates <= 0).sum()), int((replicates >= 0).sum())
    return min(1.0, 2 * (min(below, above) + 1) / (len(replicates) + 1))
