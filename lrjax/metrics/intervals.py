"""Bootstrap over images (numpy): how far an accuracy, or anything made of accuracies, depends on which images were
drawn.

Images are drawn with replacement, the same ones for every model, variant and resolution, so that a difference between
two of them is paired. Replicates of several data sets combine as the data sets do: each is drawn on its own.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 6 and 13.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from lrjax.metrics.label_sets import in_label_set

REPLICATES = 2000
CONFIDENCE = 0.95
_CHUNK = 2**24


def right(samples: Mapping[str, np.ndarray]) -> np.ndarray:
    """Tells for every image whether the best class is right, in the order of the data set.

    Args:
        samples: "index" [n], position in the data set; "top5" [n, k], the best classes, the best first; "label" [n],
            or [n, M] where several classes are right, padded with -1.

    Returns:
        [n] bool.
    """
    order = np.argsort(samples["index"])
    return in_label_set(samples["top5"][order, 0], samples["label"][order])


def bootstrap_accuracies(hits: ArrayLike, *, seed: int, replicates: int = REPLICATES) -> np.ndarray:
    """Draws the images of one data set again and again and returns the accuracies on each draw.

    Images that the same systems get right are exchangeable: their numbers are drawn, from a multinomial distribution,
    instead of the images themselves.

    Args:
        hits: [S, n] bool, for S systems on the same n images, n >= 1.
        seed: seed of the draws, 0 or above.
        replicates: number B of draws.

    Returns:
        [B, S] float64, fractions.
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


def interval(replicates: ArrayLike, *, confidence: float = CONFIDENCE) -> tuple[np.ndarray, np.ndarray]:
    """Returns the percentile interval of bootstrap replicates.

    Args:
        replicates: [B, ...].
        confidence: share of the replicates inside, 0 to 1.

    Returns:
        Lower and upper bound, [...] each.
    """
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.asarray(replicates), (tail, 1 - tail), axis=0)
    return low, high
