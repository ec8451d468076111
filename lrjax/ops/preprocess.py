"""The geometry of a model's own preprocessing and of the low-resolution stage before it, composed of resampling taps.

A batch of images of different sizes lies in the top left corners of one square canvas per image. The host computes taps
per image; all arrays have shapes that depend on the canvas side and on the view only, so one compilation serves every
batch of that canvas side.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from lrjax.errors import UserError
from lrjax.ops.resample import Taps, apply_taps, stack_taps, tap_bound, taps, vertical_pass_first
from lrjax.types import Array, ArrayLike

LARGEST_CANVAS = 1024
"""Side in pixels up to which images are resampled on the device."""
_SMALLEST_CANVAS = 64


class Stage(NamedTuple):
    """One resize with its window: the arguments of `apply_taps` after the image.

    Attributes:
        rows: taps of the vertical axis.
        columns: taps of the horizontal axis.
        vertical_first: the order of the passes.
    """

    rows: Taps
    columns: Taps
    vertical_first: Bool[ArrayLike, "..."] | bool | np.bool


def short_side_size(height: int, width: int, side: int) -> tuple[int, int]:
    """Returns the size of an image whose shorter side is resized to `side` with the aspect ratio kept.

    Args:
        height: height in pixels, >= 1.
        width: width in pixels, >= 1.
        side: new length of the shorter side in pixels, >= 1.

    Returns:
        (height, width); the longer side is truncated, not rounded.

    Reference:
        torchvision, `transforms.Resize` with an integer size.
    """
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


@dataclass(frozen=True)
class ViewSpec:
    """How an image of any size becomes the square input of a model.

    Attributes:
        size: side of the model's input in pixels.
        mode: "crop" (resize the shorter side, centre crop, black where the image is smaller) or "squash" (resize to the
            square, aspect ratio lost).
        kernel: "bicubic" or "bilinear".
        low: side n of the low-resolution stage, or None. The image is first resized to n (shorter side in mode "crop",
            n x n in mode "squash").
        resize: length of the shorter side before the centre crop, by default `size`; mode "crop" only.
        pass_order: "pillow13" or "pillow12"; the pixels of tall images depend on the version of Pillow, see
            `vertical_pass_first`.

    Raises:
        UserError: an unknown mode or kernel, a side below one, or `low` above the model's own resolution.
    """

    size: int
    mode: str = "crop"
    kernel: str = "bicubic"
    low: int | None = None
    resize: int | None = None
    pass_order: str = "pillow13"

    def __post_init__(self):
        if self.mode not in ("crop", "squash"):
            raise UserError(f"unknown preprocessing mode {self.mode!r}: use crop or squash")
        if self.mode == "squash" and self.resize is not None:
            raise UserError("a squashed view has no crop: leave resize unset or use mode crop")
        tap_bound(1.0, kernel=self.kernel)
        vertical_pass_first((1, 1), (1, 1), pass_order=self.pass_order)
        if min(self.size, self.resized_side, 1 if self.low is None else self.low) < 1:
            raise UserError(f"size {self.size}, resize {self.resize} and low {self.low} must be at least 1 pixel")
        if self.low is not None and self.low > min(self.size, self.resized_side):
            largest = min(self.size, self.resized_side)
            raise UserError(f"resolution {self.low} is above the model's own {largest}: ask for {largest} or less")

    @property
    def resized_side(self) -> int:
        """Length of the shorter side after the last resize, in pixels."""
        return self.size if self.resize is None else self.resize

    @property
    def low_side(self) -> int | None:
        """Side of the low-resolution stage; None at the model's own resolution, where it would change nothing."""
        return None if self.low == self.resized_side else self.low

    def low_window(self, low: int) -> int:
        """Returns the side of the part of a low-resolution image that the view can need, for every image size.

        Args:
            low: side of the low-resolution stage in pixels.
        """
        if self.mode == "squash":
            return low
        # The crop spans size * low / resize pixels. Truncating the longer side can stretch a pixel by a factor 1 + 1 /
        # (resize - 1), and the bicubic kernel reaches 2 pixels beyond on both sides.
        side = self.resized_side
        return math.ceil(self.size * low / side + self.size / max(side - 1, 1)) + 5

    def resized(self, height: int, width: int, side: int) -> tuple[int, int]:
        """Returns (height, width) of an image after its resize to `side`, all in pixels."""
        return (side, side) if self.mode == "squash" else short_side_size(height, width, side)


def centre_start(length: int, size: int) -> int:
    """Returns the first pixel of the centre crop of `size` pixels from an axis; negative where the axis is shorter.

    Reference:
        torchvision, `transforms.CenterCrop`: pads with the smaller half first, rounds halves to even when cutting.
    """
    return -((size - length) // 2) if length < size else round((length - size) / 2.0)


def _through_low(n_in: int, n_low: int, n_out: int, spec: ViewSpec, low: int) -> tuple[Taps, Taps]:
    window = {"start": centre_start(n_out, spec.size), "length": spec.size, "kernel": spec.kernel}
    up = taps(n_low, n_out, **window)
    start = int(up.first[up.weights.any(axis=1)].min()) if spec.mode == "crop" else 0
    side = spec.low_window(low)
    down = taps(n_in, n_low, start=start, length=side, kernel=spec.kernel)
    return down, taps(n_low, n_out, source=(start, start + side), **window)


@functools.lru_cache(maxsize=8192)
def view_taps(height: int, width: int, spec: ViewSpec) -> tuple[Stage, ...]:
    """Computes the taps that turn an image into a model's input.

    Args:
        height: height of the image in pixels, >= 1.
        width: width of the image in pixels, >= 1.
        spec: the view.

    Returns:
        One stage, or two with a low-resolution stage. The image between two stages is `spec.low_window` on a side: of
        an elongated image only the part that the centre crop needs is computed.

    Raises:
        UserError: an image side below one pixel.

    Reference:
        LR0.FM, arXiv 2502.03950, listing 1 (resize to n, resize to the model's size, centre crop).
    """
    if height < 1 or width < 1:
        raise UserError(f"an image of {height} x {width} pixels cannot be resized: drop it")
    size = (height, width)
    if spec.low_side is None:
        out = spec.resized(height, width, spec.resized_side)
        axes = zip(size, out, strict=True)
        rows, columns = (
            taps(a, b, start=centre_start(b, spec.size), length=spec.size, kernel=spec.kernel) for a, b in axes
        )
        return (Stage(rows, columns, vertical_pass_first(size, out, pass_order=spec.pass_order)),)
    low = spec.resized(height, width, spec.low_side)
    out = spec.resized(*low, spec.resized_side)
    rows, columns = (_through_low(a, b, c, spec, spec.low_side) for a, b, c in zip(size, low, out, strict=True))
    return (
        Stage(rows[0], columns[0], vertical_pass_first(size, low, pass_order=spec.pass_order)),
        Stage(rows[1], columns[1], vertical_pass_first(low, out, pass_order=spec.pass_order)),
    )


def canvas_side(sizes: Int[ArrayLike, "B 2"]) -> int:
    """Chooses the side of the square canvas of a batch.

    Square images of one common size need no padding and keep their side. Any other batch gets the next power of two, at
    least 64, so that a data set of arbitrary sizes meets at most five canvas sides and therefore compilations.

    Args:
        sizes: heights and widths in pixels, at most `LARGEST_CANVAS`.

    Returns:
        The side in pixels.

    Raises:
        UserError: an image is larger than the largest canvas.
    """
    sizes = np.asarray(sizes)
    largest = int(sizes.max())
    if largest > LARGEST_CANVAS:
        raise UserError(
            f"an image side of {largest} exceeds the canvas of {LARGEST_CANVAS}: render its views by Pillow"
        )
    if int(sizes.min()) == largest:
        return largest
    return max(_SMALLEST_CANVAS, 1 << (largest - 1).bit_length())


def batch_view_taps(sizes: Int[ArrayLike, "B 2"], spec: ViewSpec, *, canvas: int) -> tuple[Stage, ...]:
    """Computes the taps of images of different sizes, with shapes that depend only on the canvas side and the view.

    Args:
        sizes: heights and widths in pixels.
        spec: the view.
        canvas: side of the canvas that holds the images, in pixels.

    Returns:
        The stages of `view_taps` with a leading batch axis.

    Raises:
        UserError: an image is larger than the canvas.
    """
    sizes = np.asarray(sizes)
    if sizes.max() > canvas:
        raise UserError(f"an image side of {sizes.max()} does not fit a canvas of {canvas}: use canvas_side(sizes)")
    views = [view_taps(int(height), int(width), spec) for height, width in sizes]
    first_side = spec.resized_side if spec.low_side is None else spec.low_side
    # Truncation only makes the longer side's scale smaller than canvas / side, never larger, and the second stage never
    # shrinks.
    bounds = [min(tap_bound(canvas / first_side, kernel=spec.kernel), canvas), tap_bound(1.0, kernel=spec.kernel)]
    return tuple(
        Stage(
            stack_taps([stage.rows for stage in stages], K=bound),
            stack_taps([stage.columns for stage in stages], K=bound),
            np.asarray([stage.vertical_first for stage in stages]),
        )
        for stages, bound in zip(zip(*views, strict=True), bounds, strict=False)
    )


def render_view(canvas: UInt8[ArrayLike, "B S S C"], stages: Sequence[Stage]) -> UInt8[Array, "B size size C"]:
    """Renders the views of a batch; to be called under jit.

    Args:
        canvas: 0..255, images in the top left corner.
        stages: batched taps from `batch_view_taps`.

    Returns:
        The views, 0..255.
    """
    views = jnp.asarray(canvas)
    for stage in stages:
        views = jax.vmap(apply_taps)(views, *stage)
    return views


def normalize(
    images: UInt8[ArrayLike, "... C"], mean: Sequence[float], std: Sequence[float], *, dtype=jnp.float32
) -> Float[Array, "... C"]:
    """Scales pixels to 0..1 and standardises each channel.

    Args:
        images: 0..255.
        mean: C channel means on the 0..1 scale.
        std: C channel deviations on the 0..1 scale.
        dtype: dtype of the result; the arithmetic is in float32.

    Returns:
        (x / 255 - mean) / std.
    """
    shape = (1,) * (images.ndim - 1) + (-1,)
    centre, deviation = (jnp.asarray(value, jnp.float32).reshape(shape) for value in (mean, std))
    return ((jnp.asarray(images).astype(jnp.float32) / 255.0 - centre) / deviation).astype(dtype)
