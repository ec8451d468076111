"""Accuracy where an image has several right classes, as in ReaL and ImageNet-Hard (numpy)."""

import numpy as np
from jaxtyping import Bool
from numpy.typing import ArrayLike

from lrjax.errors import UserError

NO_LABEL = -1
"""What fills the rows of images with fewer labels than others."""


def in_label_set(predictions: ArrayLike, labels: ArrayLike) -> Bool[np.ndarray, "N"]:
    """Tells which predictions are among the labels of their image.

    Args:
        predictions: int [N], classes.
        labels: int [N] or [N, L], `NO_LABEL` where there are fewer.

    Raises:
        UserError: the shapes do not fit, or one of them does not hold integers.

    Reference: Beyer et al. 2020, arXiv 2006.07159 (ReaL accuracy); arXiv 2304.05538 (ImageNet-Hard).
    """
    guesses, table = np.asarray(predictions), np.asarray(labels)
    table = table[:, None] if table.ndim == 1 else table
    if guesses.ndim != 1 or table.ndim != 2 or len(guesses) != len(table):
        raise UserError(f"{list(guesses.shape)} predictions do not fit labels {list(table.shape)}; give one per image")
    for what, values in (("predictions", guesses), ("labels", table)):
        if not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"the {what} are {values.dtype}; give integer classes")
    return ((guesses[:, None] == table) & (table != NO_LABEL)).any(axis=1)
