"""Random resized crops inside jit, with torchvision's sampling rule and Pillow's pixels."""

import functools
import math
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, PRNGKeyArray, UInt8

from lrjax.errors import UserError
from lrjax.ops.resample import Taps, apply_taps, stack_taps, taps, vertical_pass_first
from lrjax.types import Array, ArrayLike, IntScalar

_TRIES = 10


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class CropBank:
    """Taps for every side that a random crop can have, so that the side may be a traced value.

    Attributes:
        axis: taps from each side to `size`, with a leading axis of sides.
        source_size: side S of the square images in pixels.
        size: side of the result in pixels.
        low: the side that the first table belongs to; the last belongs to `source_size`.
        scale: smallest and largest area of a crop as a fraction of the image's.
        ratio: smallest and largest width over height of a crop.
        pass_order: "pillow13" or "pillow12", see `vertical_pass_first`.
    """

    axis: Taps
    source_size: int = field(metadata={"static": True})
    size: int = field(metadata={"static": True})
    low: int = field(metadata={"static": True})
    scale: tuple[float, float] = field(metadata={"static": True})
    ratio: tuple[float, float] = field(metadata={"static": True})
    pass_order: str = field(metadata={"static": True})


@functools.lru_cache(maxsize=16)
def crop_bank(
    source_size: int,
    size: int,
    scale: tuple[float, float] = (0.9, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    *,
    pass_order: str = "pillow13",
) -> CropBank:
    """Computes the taps of all crop sides that a random resized crop can draw.

    Memory is sides * size * K * 4 bytes with K = ceil(4 * max(source_size / size, 1)): for 1024 -> 224 there are 185
    sides and 19 taps, 3.1 MB (13 MB with scale (0.08, 1.0)); for 224 -> 224 it is 0.15 MB.

    Args:
        source_size: side S of the square images in pixels.
        size: side of the result in pixels.
        scale: smallest and largest area of a crop as a fraction of the image's, in (0, 1].
        ratio: smallest and largest width over height of a crop, > 0.
        pass_order: "pillow13" or "pillow12", see `vertical_pass_first`.

    Returns:
        The bank, of numpy arrays.

    Raises:
        UserError: sides below one, or ranges that are empty or out of bounds.
    """
    if source_size < 1 or size < 1:
        raise UserError(f"cannot crop images of side {source_size} to side {size}: both must be at least 1 pixel")
    if not 0.0 < scale[0] <= scale[1] <= 1.0:
        raise UserError(f"crop scale {scale} must be an increasing pair of area fractions in (0, 1]")
    if not 0.0 < ratio[0] <= ratio[1]:
        raise UserError(f"crop ratio {ratio} must be an increasing pair of positive width / height ratios")
    narrowest = min(ratio[0], 1.0 / ratio[1])
    # One pixel of slack: the draw is in float32. The narrow side of a fallback crop can be smaller than any drawn one.
    fallback = 1.0 if ratio[0] <= 1.0 <= ratio[1] else narrowest
    smallest = source_size * min(math.sqrt(scale[0] * narrowest), fallback)
    low = max(math.floor(smallest) - 1, 1)
    axis = stack_taps([taps(side, size) for side in range(low, source_size + 1)])
    return CropBank(axis, source_size, size, low, scale, ratio, pass_order)


def _fallback_box(bank: CropBank) -> tuple[int, int, int, int]:
    side = bank.source_size
    height = width = side
    if bank.ratio[0] > 1.0:
        height = round(side / bank.ratio[0])
    elif bank.ratio[1] < 1.0:
        width = round(side * bank.ratio[1])
    return (side - height) // 2, (side - width) // 2, height, width


def random_crop_box(key: PRNGKeyArray, bank: CropBank) -> Int32[Array, "4"]:
    """Draws the box of a random resized crop.

    Ten boxes are drawn with a uniform area and a log-uniform aspect ratio, sides rounded; the first that fits is placed
    uniformly. If none fits, the largest central box of an allowed aspect ratio is taken.

    Args:
        key: consumed.
        bank: from `crop_bank`.

    Returns:
        Top, left, height, width in pixels; inside the image.

    Reference:
        torchvision, `transforms.RandomResizedCrop.get_params`; Szegedy et al., Going deeper with convolutions, section
        6.
    """
    area_key, ratio_key, top_key, left_key = jax.random.split(key, 4)
    side = bank.source_size
    area = side * side * jax.random.uniform(area_key, (_TRIES,), minval=bank.scale[0], maxval=bank.scale[1])
    log_ratio = [math.log(value) for value in bank.ratio]
    ratio = jnp.exp(jax.random.uniform(ratio_key, (_TRIES,), minval=log_ratio[0], maxval=log_ratio[1]))
    widths = jnp.round(jnp.sqrt(area * ratio)).astype(jnp.int32)
    heights = jnp.round(jnp.sqrt(area / ratio)).astype(jnp.int32)
    fits = (widths >= bank.low) & (widths <= side) & (heights >= bank.low) & (heights <= side)
    chosen = jnp.argmax(fits)
    height, width = heights[chosen], widths[chosen]
    top = jax.random.randint(top_key, (), 0, jnp.maximum(side - height, 0) + 1)
    left = jax.random.randint(left_key, (), 0, jnp.maximum(side - width, 0) + 1)
    fallback = jnp.asarray(_fallback_box(bank), jnp.int32)
    return jnp.where(fits[chosen], jnp.stack([top, left, height, width]), fallback)


def _crop_axis(start: IntScalar, side: IntScalar, bank: CropBank) -> Taps:
    first, weights = (jnp.asarray(table)[side - bank.low] for table in bank.axis)
    return Taps(first + start, weights)


def resized_crop(
    image: UInt8[ArrayLike, "H W C"],
    top: IntScalar,
    left: IntScalar,
    height: IntScalar,
    width: IntScalar,
    bank: CropBank,
) -> UInt8[Array, "{bank.size} {bank.size} C"]:
    """Crops a box and resizes it with bicubic resampling; pixels outside the box have no influence.

    Args:
        image: 0..255, square, of side bank.source_size.
        top: first row of the box.
        left: first column of the box.
        height: height of the box in [bank.low, S], inside the image.
        width: width of the box in [bank.low, S], inside the image.
        bank: from `crop_bank`.

    Returns:
        What is equal to Pillow's `crop(box).resize((size, size))`.

    Raises:
        UserError: the image is of another side, or a box that is known outside jit does not fit the image or the bank.
    """
    side = bank.source_size
    if image.shape[:2] != (side, side):
        raise UserError(f"the bank is for images of side {side}, not {image.shape[:2]}: resize or rebuild the bank")
    for start, length in ((top, height), (left, width)):
        known = all(isinstance(value, (int, np.integer)) for value in (start, length))
        if known and not (length >= bank.low and start >= 0 and start + length <= side):
            raise UserError(
                f"the crop [{start}, {start + length}) must lie in [0, {side}) and span >= {bank.low} pixels"
            )
    vertical_first = vertical_pass_first((height, width), (bank.size, bank.size), pass_order=bank.pass_order)
    return apply_taps(image, _crop_axis(top, height, bank), _crop_axis(left, width, bank), vertical_first)
