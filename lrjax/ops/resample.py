"""Pillow's antialiased resize and crop, equal in every bit, as two passes of integer taps that run inside jit.

Pillow resamples 8-bit images with fixed-point weights, one axis after the other: `out = clip8((sum(pixel * tap) + 2^21)
>> 22)`, rounding to uint8 after each pass. The taps depend only on the sizes, so they are computed on the host in
float64 and applied on the device. A row of output that lies outside the resized image has zero taps and is black, which
is what `Image.crop` puts there. Every geometry of this package is a composition of this primitive: (input length ->
output length, window start, window length).

Because of the rounding, the order of the passes shows in the pixels. Up to version 12 Pillow resamples horizontally
first; since version 13 vertically first when the height shrinks by more than twice as many pixels as the width (tall
images). `PASS_ORDERS` names both rules.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float64, Int32, UInt8

from lrjax.errors import UserError
from lrjax.types import Array, ArrayLike, BoolScalar, IntScalar

PRECISION_BITS = 22  # Pillow: 32 bits less 8 for the pixel and 2 for overshoot
PASS_ORDERS = ("pillow13", "pillow12")
"""Rules for the order of the two passes: of Pillow 13 and later, and of Pillow 3.3 to 12.

Versions 12.2 and 12.3 alone treat images over a hundred times as tall as wide in another way, which is not offered.
"""


class Taps(NamedTuple):
    """The linear map of one axis: output i is the sum over k of `input[first[i] + k] * weights[i, k]`, in fixed point.

    Attributes:
        first: index of the first input pixel that output i reads.
        weights: weights with 22 fractional bits; zero where output i reads nothing.
    """

    first: Int32[ArrayLike, "... n"]
    weights: Int32[ArrayLike, "... n K"]


def _bicubic(x: Float64[np.ndarray, "n K"]) -> Float64[np.ndarray, "n K"]:
    # Keys' cubic with a = -0.5; the order of operations is Pillow's, because the rounded weights depend on it.
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1.0
    outer = (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5
    return np.where(x < 1.0, inner, np.where(x < 2.0, outer, 0.0))


def _bilinear(x: Float64[np.ndarray, "n K"]) -> Float64[np.ndarray, "n K"]:
    return np.maximum(1.0 - np.abs(x), 0.0)


_KERNELS = {"bicubic": (_bicubic, 2.0), "bilinear": (_bilinear, 1.0)}


def _kernel(name: str):
    if name not in _KERNELS:
        raise UserError(f"unknown resampling kernel {name!r}: use one of {', '.join(_KERNELS)}")
    return _KERNELS[name]


def tap_bound(scale: float, *, kernel: str = "bicubic") -> int:
    """Returns the largest number of non-zero taps of one output pixel.

    Args:
        scale: input length over output length, > 0.
        kernel: "bicubic" or "bilinear".

    Returns:
        The bound: a kernel of width w reaches at most ceil(w) pixel centres.
    """
    return int(np.ceil(2.0 * _kernel(kernel)[1] * max(scale, 1.0)))


def taps(
    n_in: int | np.integer,
    n_out: int | np.integer,
    *,
    start: int = 0,
    length: int | None = None,
    kernel: str = "bicubic",
    source: tuple[int, int] | None = None,
) -> Taps:
    """Computes the taps that resize an axis and cut a window out of the result.

    Args:
        n_in: length of the input axis in pixels, >= 1.
        n_out: length of the whole resized axis in pixels, >= 1.
        start: first output pixel of the window; negative or beyond the axis is black.
        length: length of the window in pixels; by default up to the end of the axis.
        kernel: "bicubic" (Keys, a = -0.5) or "bilinear", widened when shrinking.
        source: half-open window of the input axis that the caller holds; indices count from its start. By default (0,
            n_in).

    Returns:
        Read-only taps of `length` outputs, cached by the arguments.

    Raises:
        UserError: a length below one, an unknown kernel, or a window that needs pixels outside `source`.

    Reference:
        Pillow, `src/libImaging/Resample.c` (`precompute_coeffs`, `normalize_coeffs_8bpc`); Keys, Cubic convolution
        interpolation, 1981.
    """
    length = int(n_out) - start if length is None else length
    if n_in < 1 or n_out < 1:
        raise UserError(f"cannot resize an axis of {n_in} pixels to {n_out}: both lengths must be at least 1")
    if length < 1:
        raise UserError(f"the window of {length} pixels from {start} of {n_out} is empty: ask for at least 1 pixel")
    first_held, end_held = (0, n_in) if source is None else source
    return _taps(int(n_in), int(n_out), int(start), int(length), kernel, int(first_held), int(end_held))


@functools.lru_cache(maxsize=4096)
def _taps(n_in: int, n_out: int, start: int, length: int, kernel: str, first_held: int, end_held: int) -> Taps:
    weight, radius = _kernel(kernel)
    scale = n_in / n_out
    filter_scale = max(scale, 1.0)
    support = radius * filter_scale
    output = start + np.arange(length)
    centre = (output + 0.5) * scale
    low = np.maximum(np.trunc(centre - support + 0.5), 0.0).astype(np.int64)
    high = np.minimum(np.trunc(centre + support + 0.5), n_in).astype(np.int64)
    inside = (output >= 0) & (output < n_out)
    count = np.where(inside, high - low, 0)
    offset = np.arange(max(int(count.max()), 1))
    exact = weight(((low[:, None] + offset) - centre[:, None] + 0.5) * (1.0 / filter_scale))
    exact = np.where(offset < count[:, None], exact, 0.0)
    total = np.cumsum(exact, axis=1)[:, -1:]  # a running sum, because Pillow adds in this order
    exact = np.divide(exact, total, out=np.zeros_like(exact), where=total != 0.0)
    fixed = np.trunc(np.where(exact < 0.0, -0.5, 0.5) + exact * 2.0**PRECISION_BITS).astype(np.int32)

    # Leading and trailing zero weights are cut: an axis whose length does not change then has one tap.
    used = fixed != 0
    empty = ~used.any(axis=1)
    skip = np.where(empty, 0, used.argmax(axis=1))
    span = np.where(empty, 0, fixed.shape[1] - used[:, ::-1].argmax(axis=1) - skip)
    first = np.where(empty, 0, low + skip - first_held)
    if np.any(~empty & ((first < 0) | (first + span > end_held - first_held))):
        raise UserError(
            f"the window of {length} pixels from {start} of an axis resized from {n_in} to {n_out} reads outside the "
            f"held input [{first_held}, {end_held}): widen the source window"
        )
    offset = np.arange(max(int(span.max()), 1))
    column = np.minimum(skip[:, None] + offset, fixed.shape[1] - 1)
    weights = np.where(offset < span[:, None], np.take_along_axis(fixed, column, axis=1), 0)
    found = first.astype(np.int32), weights.astype(np.int32)
    for array in found:
        array.flags.writeable = False
    return Taps(*found)


def vertical_pass_first(
    size: Sequence[IntScalar], new_size: Sequence[IntScalar], *, pass_order: str = "pillow13"
) -> BoolScalar:
    """Tells whether Pillow resamples the vertical axis before the horizontal one.

    Args:
        size: (height, width) of the image in pixels.
        new_size: (height, width) of the whole resized image in pixels, before any crop.
        pass_order: "pillow13" for Pillow 13 and later, "pillow12" for earlier versions, where it never does.

    Returns:
        Whether it does, traced where a side is.

    Raises:
        UserError: an unknown pass order.

    Reference:
        Pillow 13.0.0 and 12.3.0, `src/libImaging/Resample.c` (`ImagingResampleInner`).
    """
    if pass_order not in PASS_ORDERS:
        raise UserError(f"unknown pass order {pass_order!r}: use one of {', '.join(PASS_ORDERS)}")
    shrink_height, shrink_width = (old - new for old, new in zip(size, new_size, strict=True))
    return (pass_order == "pillow13") & (shrink_height > 0) & (shrink_height > 2 * shrink_width)


def stack_taps(items: Sequence[Taps], K: int | None = None) -> Taps:
    """Stacks the taps of several images or sizes on a new leading axis.

    Args:
        items: taps without leading axes, all of one number n of outputs.
        K: number of taps per output pixel to pad to with zeros; by default the largest of an item.

    Returns:
        Taps with a leading axis of the items.

    Raises:
        UserError: no items, windows of different lengths, or an item with more than K taps.
    """
    if not items or len({item.weights.shape[0] for item in items}) > 1:
        lengths = sorted({item.weights.shape[0] for item in items})
        raise UserError(f"cannot stack windows of lengths {lengths}: give at least one, all of the same length")
    largest = max(item.weights.shape[1] for item in items)
    width = largest if K is None else K
    if largest > width:
        raise UserError(f"an output pixel needs {largest} taps but K is {K}: raise K or use a smaller input")
    weights = np.zeros((len(items), items[0].weights.shape[0], width), np.int32)
    for row, item in zip(weights, items, strict=True):
        row[:, : item.weights.shape[1]] = item.weights
    return Taps(np.stack([item.first for item in items]), weights)


def _resample_leading_axis(image: UInt8[Array, "H W C"], axis: Taps) -> UInt8[Array, "n W C"]:
    # One gather of whole rows per tap, summed in a loop. Measured for batch 32, both passes, two CPU cores, in ms, for
    # 512->16 (128 taps), 512->224 (10), 16->224 (4), 224->224 (1); Pillow needs 80 for 512->224 on one core:
    # this loop 26, 63, 3, 2; the same on columns in place 59, 51, 3, 1; loop over output rows 84, 72, 4, 10;
    # one gather of [n, K, ...] then a sum 177, 139, 11, 2; dense matmul with taps in three digits 79, 404, 39, 265.
    count = axis.weights.shape[1]

    def add_tap(k: Int32[Array, ""], total: Int32[Array, "n W C"]) -> Int32[Array, "n W C"]:
        index = jnp.clip(axis.first + k, 0, image.shape[0] - 1)
        pixels = image.at[index].get(mode="promise_in_bounds").astype(jnp.int32)
        weight = jax.lax.dynamic_slice_in_dim(axis.weights, k, 1, axis=1)
        return total + pixels * weight[..., None]

    zero = jnp.zeros((axis.first.shape[0], *image.shape[1:]), jnp.int32)
    total = jax.lax.fori_loop(0, count, add_tap, zero)
    half = 1 << (PRECISION_BITS - 1)
    return jnp.clip((total + half) >> PRECISION_BITS, 0, 255).astype(jnp.uint8)


def apply_taps(
    image: ArrayLike, rows: Taps, columns: Taps, vertical_first: BoolScalar = False
) -> UInt8[Array, "h w C"]:
    """Resamples an image along both axes, rounding to uint8 after each pass as Pillow does.

    Args:
        image: uint8 [H, W, C], 0..255; may be a canvas larger than what the taps read.
        rows: taps of the vertical axis, h outputs.
        columns: taps of the horizontal axis, w outputs.
        vertical_first: order of the passes, see `vertical_pass_first`. A traced value needs H = W and h = w.

    Returns:
        The resampled image, 0..255.

    Raises:
        UserError: the image is not uint8 of rank 3, or a traced order with sides that are not square.

    Reference:
        Pillow, `src/libImaging/Resample.c` (`ImagingResampleHorizontal_8bpc`, `ImagingResampleVertical_8bpc`).
    """
    if image.ndim != 3 or image.dtype != np.uint8:
        raise UserError(f"resampling needs a uint8 image [H, W, C], not {image.dtype} {image.shape}: convert it")
    image, rows, columns = jnp.asarray(image), jax.tree.map(jnp.asarray, rows), jax.tree.map(jnp.asarray, columns)
    if isinstance(vertical_first, (bool, np.bool_)):
        if vertical_first:
            vertical = _resample_leading_axis(image, rows)
            return jnp.swapaxes(_resample_leading_axis(jnp.swapaxes(vertical, 0, 1), columns), 0, 1)
        horizontal = _resample_leading_axis(jnp.swapaxes(image, 0, 1), columns)
        return _resample_leading_axis(jnp.swapaxes(horizontal, 0, 1), rows)

    if image.shape[0] != image.shape[1] or rows.first.shape != columns.first.shape:
        raise UserError(
            f"a traced order of passes needs a square canvas and window, not {image.shape[:2]} and "
            f"{(rows.first.shape[0], columns.first.shape[0])}: pad them, or pass a Python bool"
        )
    # Both orders in one program: the image is transposed where the vertical pass comes first, the taps change places
    # with it.
    K = max(rows.weights.shape[1], columns.weights.shape[1])
    rows, columns = (
        Taps(axis.first, jnp.pad(axis.weights, ((0, 0), (0, K - axis.weights.shape[1])))) for axis in (rows, columns)
    )
    first, second = (
        jax.tree.map(lambda a, b: jnp.where(vertical_first, a, b), *pair) for pair in ((rows, columns), (columns, rows))
    )
    once = _resample_leading_axis(jnp.where(vertical_first, image, jnp.swapaxes(image, 0, 1)), first)
    twice = _resample_leading_axis(jnp.swapaxes(once, 0, 1), second)
    return jnp.where(vertical_first, jnp.swapaxes(twice, 0, 1), twice)


def resize(
    image: ArrayLike,
    height: int,
    width: int,
    *,
    window: tuple[int, int, int, int] | None = None,
    kernel: str = "bicubic",
    pass_order: str = "pillow13",
) -> UInt8[Array, "h w C"]:
    """Resizes one image and optionally cuts a window out of the result; only the window is computed.

    Args:
        image: uint8 [H, W, C], 0..255.
        height: height of the whole resized image in pixels.
        width: width of the whole resized image in pixels.
        window: (top, left, height, width) in resized pixels; what lies outside is black. By default everything.
        kernel: "bicubic" or "bilinear".
        pass_order: "pillow13" or "pillow12", see `vertical_pass_first`.

    Returns:
        The resized image or its window, equal to Pillow's resize and crop in every bit.

    Raises:
        UserError: a side below one pixel, an unknown kernel or pass order, or an image that is not uint8 [H, W, C].
    """
    top, left, window_height, window_width = (0, 0, height, width) if window is None else window
    rows = taps(image.shape[0], height, start=top, length=window_height, kernel=kernel)
    columns = taps(image.shape[1], width, start=left, length=window_width, kernel=kernel)
    vertical_first = vertical_pass_first(image.shape[:2], (height, width), pass_order=pass_order)
    return apply_taps(image, rows, columns, vertical_first)
