"""The best guesses of a classifier (numpy)."""

import numpy as np
from jaxtyping import Float, Int32

from lrjax.errors import UserError


def topk(logits: Float[np.ndarray, "N K"], k: int) -> Int32[np.ndarray, "N {k}"]:
    """Returns the classes of the k largest logits of every row, the largest first.

    Equal logits rank by class, the lowest first, as `argmax` does.

    Args:
        logits: finite.
        k: number of guesses, 1..K.

    Raises:
        UserError: `k` is not in 1..K.
    """
    classes = logits.shape[1]
    if not 1 <= k <= classes:
        raise UserError(f"top-{k} accuracy is not defined for {classes} classes; choose k from 1 to {classes}")
    rest, guesses = np.array(logits), np.empty((len(logits), k), np.int32)
    for rank in range(k):
        guesses[:, rank] = rest.argmax(axis=1)
        np.put_along_axis(rest, guesses[:, rank : rank + 1], -np.inf, axis=1)
    return guesses
