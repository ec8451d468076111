"""One prediction from several views of an image (numpy).

Reference: Taesiri et al. 2023, arXiv 2304.05538, Tables A5, A6 and A10.
"""

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from lrjax.errors import UserError
from lrjax.metrics.zoom import GROUPS, check_views

RULES = ("max", "mean")
"""How the probabilities of several views become those of the image."""

CROPS = tuple(f"{count}-crop {rule}" for count in (5, 10) for rule in RULES)
"""Predictions from corners and centre, and from these and their mirror images."""

AGGREGATES = tuple(f"{group} {rule}" for group in GROUPS for rule in RULES)
"""Predictions from the views of a set that zoom in, that zoom out, and that do neither."""


def most_confident(
    confidence: ArrayLike, guesses: ArrayLike, *, views: ArrayLike | None = None
) -> Int[np.ndarray, "N"]:
    """Predicts the guess of the view that is surest: the class of the highest probability over views and classes.

    Where the confidence was rounded, as to float16, more views are equally sure than by the probabilities themselves.

    Args:
        confidence: float [N, V], the probability of each view's guess.
        guesses: int [N, V], the most probable class of each view.
        views: the set, int [M], M >= 1; default all.

    Returns:
        Classes; of equally sure guesses the lowest class.

    Raises:
        UserError: the shapes differ, the set is empty, or the confidence is not from 0 to 1.
    """
    sure, classes = np.asarray(confidence), np.asarray(guesses)
    if sure.ndim != 2 or sure.shape != classes.shape:
        raise UserError(f"confidence {list(sure.shape)} and guesses {list(classes.shape)} differ; give [images, views]")
    if views is not None:
        chosen = check_views(views, sure.shape[1])
        sure, classes = sure[:, chosen], classes[:, chosen]
    if not sure.shape[1]:
        raise UserError("the set of views is empty; give at least one view")
    if not ((sure >= 0) & (sure <= 1)).all():
        raise UserError("the confidence has values outside 0 to 1; give probabilities")
    surest = sure == sure.max(axis=1, keepdims=True)
    return np.where(surest, classes, np.iinfo(np.int64).max).min(axis=1)
