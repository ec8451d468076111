"""How far an accuracy, or anything made of accuracies, depends on which images were drawn.

Accuracies, their means and their paired differences have score intervals, which hold at 0 and 1 too. What has none, as
a ratio of accuracies, has a bootstrap: images are drawn with replacement, the same ones for every model, variant and
resolution, so that a difference between two of them is paired. Replicates of several data sets combine as the data sets
do: each is drawn on its own.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Float64
from numpy.typing import ArrayLike
from scipy import optimize, stats

from lrjax.metrics.label_sets import in_label_set

REPLICATES = 2000
CONFIDENCE = 0.95
_NORMAL = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
_CHUNK = 2**24

Bounds = tuple[float, float]
"""Lower and upper bound of an interval."""


def right(samples: Mapping[str, np.ndarray]) -> Bool[np.ndarray, "N"]:
    """Tells for every image whether the best class is right, in the order of the data set.

    Args:
        samples: "index" [n], position in the data set; "top5" [n, k], the best classes, the best first; "label" [n],
            or [n, M] where several classes are right, padded with -1.
    """
    order = np.argsort(samples["index"])
    return in_label_set(samples["top5"][order, 0], samples["label"][order])


def accuracy_interval(hits: Bool[np.ndarray, "N"]) -> Bounds:
    """Returns Wilson's score interval of an accuracy.

    Args:
        hits: of n >= 1 images.

    Returns:
        Bounds, fractions; the accuracy lies within, and 0 of n is [0, z^2 / (n + z^2)].

    Reference: E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    right, images = int(hits.sum()), len(hits)
    found = stats.binomtest(right, images).proportion_ci(CONFIDENCE, method="wilson")
    return min(float(found.low), right / images), max(float(found.high), right / images)


def above_chance(accuracy: ArrayLike, images: ArrayLike, classes: ArrayLike) -> Bool[np.ndarray, "..."] | np.bool:
    """Tells whether an accuracy is above that of guessing, which must lie below its interval.

    Args:
        accuracy: [...], fractions.
        images: numbers of images behind it, broadcastable, >= 1.
        classes: numbers of classes, broadcastable, >= 1.

    Returns:
        Whether it is, [...]; never true of one class.
    """
    chance = 1 / np.asarray(classes, np.float64)
    return np.asarray(accuracy) > chance + _NORMAL * np.sqrt(chance * (1 - chance) / np.asarray(images))


def difference_interval(first: Bool[np.ndarray, "N"], second: Bool[np.ndarray, "N"]) -> Bounds:
    """Returns Tango's score interval of the accuracy of one system minus that of another on the same images.

    Args:
        first, second: of n >= 1 images, the same ones in the same order.

    Returns:
        Bounds, -1 to 1; the difference lies within, and that of equal hits is [-w, w] with w = z^2 / (n + z^2).

    Reference: T. Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, 1998.
    """
    gained, lost, images = int((first & ~second).sum()), int((~first & second).sum()), len(first)
    middle, end = (gained - lost) / images, 1 - 1e-12
    score = functools.partial(_tango_score, gained=gained, lost=lost, images=images)
    low = -1.0 if lost == images else _root(lambda at: score(at) - _NORMAL, -end, middle)
    high = 1.0 if gained == images else _root(lambda at: score(at) + _NORMAL, middle, end)
    return min(low, middle), max(high, middle)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.root_scalar(function, bracket=(low, high), method="brentq").root)


def _tango_score(difference: float, *, gained: int, lost: int, images: int) -> float:
    """How many standard errors the observed difference is above another one."""
    excess = gained - lost - images * difference
    if excess == 0:
        return 0.0
    linear = (2 * images - gained + lost) * difference - gained - lost
    root = math.sqrt(linear**2 + 8 * images * lost * difference * (1 - difference))
    only_second = (root - linear) / (4 * images)  # most likely share of the images that only the second gets right
    return excess / math.sqrt(images * (2 * only_second + difference * (1 - difference)))


def mean_interval(values: ArrayLike, bounds: Sequence[Bounds]) -> Bounds:
    """Returns the interval of the mean of independent numbers, from their own intervals.

    Args:
        values: [D].
        bounds: D pairs, each with its value within.

    Returns:
        Bounds; the mean lies within.

    Reference: G. Y. Zou and A. Donner, Construction of confidence limits about effect measures, 2008.
    """
    values, (low, high) = np.asarray(values), np.transpose(bounds)
    mean = values.mean()
    below, above = (float(np.linalg.norm(values - side)) / len(values) for side in (low, high))
    return float(mean) - below, float(mean) + above


def bootstrap_accuracies(
    hits: ArrayLike, *, seed: int | Sequence[int], replicates: int = REPLICATES
) -> Float64[np.ndarray, "{replicates} S"]:
    """Draws the images of one data set again and again and returns the accuracies on each draw.

    Images that the same systems get right are exchangeable: their numbers are drawn, from a multinomial distribution,
    instead of the images themselves.

    Args:
        hits: [S, n] bool, for S systems on the same n images, n >= 1.
        seed: seed of the draws, 0 or above, or several.
        replicates: number of draws.

    Returns:
        Fractions.
    """
    hits = np.asarray(hits, bool)
    images = hits.shape[1]
    _, first, counts = np.unique(np.packbits(hits, axis=0), axis=1, return_index=True, return_counts=True)
    patterns = hits[:, first].T.astype(np.float64)
    generator, step = np.random.default_rng(seed), max(1, _CHUNK // len(counts))
    drawn = [
        generator.multinomial(images, counts / images, size=min(step, replicates - start)) @ patterns
        for start in range(0, replicates, step)
    ]
    return np.concatenate(drawn) / images


_NOTHING = 1e-6
"""Replicates that differ by less show as equal, as those of a discount that is almost 1."""


def interval_around(value: float, replicates: Float[np.ndarray, "B"]) -> Bounds | None:
    """Returns the percentile interval of a number, wide enough to hold it.

    Replicates of a number at its least or greatest possible value lie all on one side of it, as those of WAR at chance.

    Args:
        value: the number itself.
        replicates: of the number.

    Returns:
        Bounds; None where all replicates are equal, which is no certainty: each image was right, or each wrong, or two
        systems were right on the same ones.
    """
    if np.ptp(replicates) <= _NOTHING:
        return None
    low, high = (float(bound) for bound in interval(replicates))
    return min(low, value), max(high, value)


_Bound = Float64[np.ndarray, "..."] | np.float64


def interval(replicates: Float[np.ndarray, "B ..."], *, confidence: float = CONFIDENCE) -> tuple[_Bound, _Bound]:
    """Returns the percentile interval of bootstrap replicates.

    Args:
        replicates: of numbers.
        confidence: share of the replicates inside, 0 to 1.

    Returns:
        Lower and upper bounds.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, (tail, 1 - tail), axis=0)
    return low, high
