"""Recall of single classes, and which classes are taken for which."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from lrjax.metrics.label_sets import in_label_set


class Recall(NamedTuple):
    """How many images of each class there are, and how many of them are right.

    Attributes:
        images: [K] counts.
        right: [K] counts, at most `images`.
    """

    images: Int64[np.ndarray, "K"]
    right: Int64[np.ndarray, "K"]

    @property
    def mean(self) -> float:
        """Mean over the classes that have images of the share that is right, 0 to 1; balanced accuracy."""
        there = self.images > 0
        return float((self.right[there] / self.images[there]).mean())


def recall_by_class(samples: Mapping[str, np.ndarray], classes: int) -> Recall:
    """Counts the images of every class, and those whose best class is right.

    Args:
        samples: "label" [n], or [n, M] where several classes are right, padded with -1; "top5" [n, k], the best
            classes, the best first; n >= 1.
        classes: K, above every label.

    Returns:
        Counts; an image with several right classes counts for each of them.

    Reference: Brodersen et al. 2010, The balanced accuracy and its posterior distribution.
    """
    labels = samples["label"].reshape(len(samples["label"]), -1)
    right = in_label_set(samples["top5"][:, 0], samples["label"])
    counts = [
        np.bincount(labels[chosen][labels[chosen] >= 0], minlength=classes)
        for chosen in (np.full(len(right), True), right)
    ]
    return Recall(*counts)


def confusions(samples: Mapping[str, np.ndarray]) -> list[tuple[int, int, int]]:
    """Counts how often a class is taken for another one.

    Args:
        samples: as in `recall_by_class`; images with several right classes are passed over.

    Returns:
        Label, best class and number of images, the most frequent pair first, and of equally frequent ones that with the
        lower label.
    """
    labels = samples["label"].reshape(len(samples["label"]), -1)
    guess, label = samples["top5"][:, 0], labels.max(axis=1)
    wrong = ((labels >= 0).sum(axis=1) == 1) & (guess != label)
    pairs, counts = np.unique(np.stack([label[wrong], guess[wrong]], axis=1), axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(int(pairs[one, 0]), int(pairs[one, 1]), int(counts[one])) for one in order]
