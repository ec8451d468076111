"""Numbers that can be computed with: no NaN, none infinite, and none whose square is."""

import numpy as np

LARGEST = float(np.sqrt(np.finfo(np.float32).max))
"""About 1.8e19; norms square what they are given in float32."""

_PART = 2**20


def is_usable(values: np.ndarray) -> bool:
    """Tells whether every number is finite and at most `LARGEST` in size, in little memory.

    Args:
        values: floating point of any width.
    """
    flat = values.reshape(-1)
    parts = (flat[start : start + _PART] for start in range(0, flat.size, _PART))
    return all((np.abs(_at_least_single(part)) <= LARGEST).all() for part in parts)


def _at_least_single(part: np.ndarray) -> np.ndarray:
    return part if part.dtype.itemsize >= 4 else part.astype(np.float32)
