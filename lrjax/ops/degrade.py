"""Low-resolution training pairs: a square image shrunk to a random side and enlarged back, inside jit, as by Pillow."""

import functools
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, PRNGKeyArray, UInt8

from lrjax.errors import UserError
from lrjax.ops.resample import Taps, apply_taps, stack_taps, taps
from lrjax.types import Array, ArrayLike, IntScalar

BUCKETS = ((16, 32), (32, 64), (64, 128))
"""Half-open ranges of low-resolution sides, one draw from each per image (LR0.FM, arXiv 2502.03950, section 5)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class LowResolutionBank:
    """Taps for every side of one bucket, so that the side may be a traced value.

    Attributes:
        down: taps from `size` to each side, with a leading axis of sides; high - 1 outputs, zero beyond the side.
        up: taps from each side back to `size`, with a leading axis of sides.
        size: side of the images in pixels.
        low: smallest low-resolution side.
        high: largest low-resolution side plus one.
    """

    down: Taps
    up: Taps
    size: int = field(metadata={"static": True})
    low: int = field(metadata={"static": True})
    high: int = field(metadata={"static": True})


@functools.lru_cache(maxsize=64)
def lr_bank(size: int, low: int, high: int) -> LowResolutionBank:
    """Computes the taps of a bucket of low-resolution sides.

    Args:
        size: side of the square images in pixels.
        low: smallest side, >= 1.
        high: largest side plus one, at most size + 1.

    Returns:
        The bank, of numpy arrays; about 0.4 MB for size 224 and the bucket 64..127.

    Raises:
        UserError: an empty bucket, or sides above the image's own.
    """
    if not 1 <= low < high:
        raise UserError(f"the bucket of low-resolution sides [{low}, {high}) is empty: give 1 <= low < high")
    if high - 1 > size:
        raise UserError(f"the bucket [{low}, {high}) exceeds the image side {size}: end it at {size + 1} or earlier")
    sides = range(low, high)
    down = stack_taps([taps(size, side, length=high - 1) for side in sides])
    up = stack_taps([taps(side, size) for side in sides])
    return LowResolutionBank(down, up, size=size, low=low, high=high)


def degrade(
    image: UInt8[ArrayLike, "H W C"], side: IntScalar, bank: LowResolutionBank
) -> UInt8[Array, "{bank.size} {bank.size} C"]:
    """Shrinks a square image to `side` x `side` and enlarges it back with bicubic resampling.

    Args:
        image: 0..255, square, of side S = bank.size.
        side: n in [bank.low, bank.high).
        bank: taps from `lr_bank`.

    Returns:
        What is equal to Pillow's `resize((n, n)).resize((S, S))`.

    Raises:
        UserError: the image is of another side, or a low-resolution side that is known outside jit is not in the
            bucket.

    Reference:
        LR0.FM, arXiv 2502.03950, section 5 (multi-scale paradigm).
    """
    if image.shape[:2] != (bank.size, bank.size):
        raise UserError(f"the bank is for images of side {bank.size}, not {image.shape[:2]}: resize or rebuild it")
    if isinstance(side, (int, np.integer)) and not bank.low <= side < bank.high:
        raise UserError(f"the low-resolution side {side} is not in the bank's bucket [{bank.low}, {bank.high})")
    # Both sides shrink by the same amount, so that every version of Pillow resamples horizontally first.
    down, up = jax.tree.map(lambda table: jnp.asarray(table)[side - bank.low], (bank.down, bank.up))
    return apply_taps(apply_taps(image, down, down), up, up)


def random_side(key: PRNGKeyArray, bank: LowResolutionBank) -> Int32[Array, ""]:
    """Draws a low-resolution side uniformly from the bank's bucket.

    Args:
        key: consumed.
        bank: from `lr_bank`.

    Returns:
        A side in [bank.low, bank.high), in pixels.
    """
    return jax.random.randint(key, (), bank.low, bank.high)
