"""Many views of one image: the 324 zooms (36 scales at 9 anchors), five and ten crops, and centre crops by scale.

The views of one scale are windows of one resized image. It is resized once, and only where a window shows it: the
distinct rows and columns that the windows show are resampled with the taps of `lrjax.ops.resample`, then the windows
are cut out, black where they leave the image. Each view equals Pillow's resize of the whole image and its crop in every
bit.

Views are numbered anchor * 36 + scale: anchors row by row, scales in the order of `SCALES`.

Reference: Taesiri et al. 2023, arXiv 2304.05538 (appendices A.1, A.3).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from lrjax.errors import UserError
from lrjax.ops.preprocess import centre_start, short_side_size
from lrjax.ops.resample import Taps, apply_taps, stack_taps, tap_bound, taps, vertical_pass_first
from lrjax.types import Array, ArrayLike

SCALES = (
    10, 16, 32, 48, 64, 96, 128, 192, 224, 240, 256, 288, 320, 384, 448, 512, 576, 640, 664, 672, 680, 690, 700, 720,
    768, 832, 896, 122, 235, 348, 460, 573, 686, 798, 911, 1024,
)  # fmt: skip
"""Lengths of the shorter side in pixels, in the published order, which decides ties: not ascending."""

ANCHORS = tuple((row, column) for row in range(3) for column in range(3))
"""Places (row, column) of the centre of the view on a 3 x 3 grid, row by row; (1, 1) is the middle."""

VIEWS = len(ANCHORS) * len(SCALES)
"""Number of zoom views, 324."""

CENTRE_SCALES = tuple(range(128, 449, 32))
"""Lengths of the shorter side in pixels of the study of centre crops."""

_PUBLISHED_SIZE = 224

Starts = Callable[[int, int], tuple[int, ...]]


@dataclass(frozen=True)
class WindowSpec:
    """Square windows of an image whose shorter side was resized.

    Attributes:
        side: length of the shorter side after the resize, in pixels.
        size: side of the windows in pixels.
        starts: gives the first pixels of the windows along an axis, from the axis' length and `size`.
        places: (row, column, mirrored) per view: numbers of a row start and a column start, and whether left and right
            change places.
        pass_order: "pillow13" or "pillow12", see `vertical_pass_first`.
    """

    side: int
    size: int
    starts: Starts
    places: tuple[tuple[int, int, bool], ...]
    pass_order: str = "pillow13"


class WindowTaps(NamedTuple):
    """How the windows of one image are made; fields of several images and scales have leading axes.

    Attributes:
        rows: taps of the rows that any window shows.
        columns: taps of the columns.
        top: where each row start lies among those rows with `size` black rows before them.
        left: the same for column starts.
        vertical_first: the order of the passes.
    """

    rows: Taps
    columns: Taps
    top: Int32[ArrayLike, "... n"]
    left: Int32[ArrayLike, "... m"]
    vertical_first: Bool[ArrayLike, "..."] | bool | np.bool


def anchor_starts(length: int, size: int = _PUBLISHED_SIZE) -> tuple[int, int, int]:
    """Returns the first pixels of the windows around the three anchors of an axis.

    Args:
        length: length of the resized axis in pixels.
        size: side of the window in pixels.

    Returns:
        Three numbers, negative where the window begins outside. The anchors are the centres of three tiles of length //
        3 pixels; what is left over belongs to none, so that the middle window is not torchvision's centre crop.

    Reference:
        arXiv 2304.05538, appendix A.1.
    """
    tile = length // 3
    first, second, third = (number * tile + tile // 2 - size // 2 for number in range(3))
    return first, second, third


def crop_starts(length: int, size: int = _PUBLISHED_SIZE) -> tuple[int, int, int, int]:
    """Returns the first pixels of the windows at the start, the end and the centre of an axis, and at its centre seen
    from the end.

    Args:
        length: length of the resized axis in pixels, at least `size`.
        size: side of the window in pixels.

    Reference:
        torchvision, `transforms.functional.five_crop` and `ten_crop`.
    """
    centre = round((length - size) / 2.0)  # halves to even
    return 0, length - size, centre, length - size - centre


_FIVE = ((0, 0, False), (0, 1, False), (1, 0, False), (1, 1, False), (2, 2, False))
_MIRRORED_FIVE = ((0, 1, True), (0, 0, True), (1, 1, True), (1, 0, True), (2, 3, True))


def _proportional(scale: int, size: int) -> int:
    return int(scale * size / _PUBLISHED_SIZE + 0.5)


def zoom_spec(scale: int, *, size: int = _PUBLISHED_SIZE, pass_order: str = "pillow13") -> WindowSpec:
    """Returns the nine windows of a scale, in the order of `ANCHORS`.

    Args:
        scale: length of the shorter side in pixels, for windows of 224 pixels.
        size: side of the windows: the input size of the model. With another one than 224 the scale grows or shrinks in
            proportion (to the nearest pixel), so that a view shows the same part of the image at every input size.
        pass_order: "pillow13" or "pillow12".
    """
    return WindowSpec(
        side=_proportional(scale, size),
        size=size,
        starts=anchor_starts,
        places=tuple((row, column, False) for row, column in ANCHORS),
        pass_order=pass_order,
    )


def crop_spec(*, mirrored: bool, size: int = _PUBLISHED_SIZE, pass_order: str = "pillow13") -> WindowSpec:
    """Returns five crops (corners and centre of an image of shorter side 256), or ten with their mirror images.

    Args:
        mirrored: whether the five crops of the mirrored image follow.
        size: side of the windows; 256 changes in proportion to it.
        pass_order: "pillow13" or "pillow12".

    Reference:
        torchvision, `transforms.FiveCrop` and `TenCrop`.
    """
    return WindowSpec(
        side=_proportional(256, size),
        size=size,
        starts=crop_starts,
        places=_FIVE + _MIRRORED_FIVE if mirrored else _FIVE,
        pass_order=pass_order,
    )


def _centre_only(length: int, size: int) -> tuple[int]:
    return (centre_start(length, size),)


def centre_zoom_specs(*, size: int = _PUBLISHED_SIZE, pass_order: str = "pillow13") -> tuple[WindowSpec, ...]:
    """Returns the views of `CENTRE_SCALES`: the shorter side resized, then torchvision's centre crop.

    Args:
        size: side of the crop; the scales change in proportion to it.
        pass_order: "pillow13" or "pillow12".

    Reference:
        arXiv 2304.05538, figure A11.
    """
    return tuple(
        WindowSpec(
            side=_proportional(scale, size),
            size=size,
            starts=_centre_only,
            places=((0, 0, False),),
            pass_order=pass_order,
        )
        for scale in CENTRE_SCALES
    )


@functools.lru_cache(maxsize=4096)
def _shown(length: int, starts: Starts, size: int) -> tuple[Int[np.ndarray, "shown"], Int32[np.ndarray, "n"]]:
    """Distinct pixels of an axis that its windows show, and where the windows start among them, `size` behind."""
    windows = [np.arange(max(start, 0), min(start + size, length)) for start in starts(length, size)]
    shown = np.unique(np.concatenate(windows))
    first = np.array([np.searchsorted(shown, max(start, 0)) + min(start, 0) for start in starts(length, size)])
    return shown, (first + size).astype(np.int32)


def round_up(number: int) -> int:
    """Returns the next number of the form 2^k or 3 * 2^k, at least 4, so that few different shapes are compiled."""
    power = max(4, 1 << (number - 1).bit_length())
    return power * 3 // 4 if power > 4 and number <= power * 3 // 4 else power


def window_shape(sizes: Int[ArrayLike, "B 2"], spec: WindowSpec) -> tuple[int, int]:
    """Returns lengths that hold the taps of a batch.

    Args:
        sizes: heights and widths in pixels.
        spec: the windows.

    Returns:
        (R, K): output pixels per axis and taps per output pixel, both rounded up to one of a few values.
    """
    pixels, count = 1, 1
    for height, width in np.unique(np.asarray(sizes), axis=0).tolist():
        for old, new in zip((height, width), short_side_size(height, width, spec.side), strict=True):
            pixels = max(pixels, len(_shown(new, spec.starts, spec.size)[0]))
            count = max(count, min(tap_bound(old / new), old))
    # No axis shows more pixels than its windows have.
    return min(round_up(pixels), len(spec.starts(spec.side, spec.size)) * spec.size), round_up(count)


def batch_window_taps(sizes: Int[ArrayLike, "B 2"], spec: WindowSpec, *, shape: tuple[int, int]) -> WindowTaps:
    """Computes on the host how the windows of images of different sizes are made.

    Args:
        sizes: heights and widths in pixels.
        spec: the windows.
        shape: of `window_shape`, for these or more images.

    Returns:
        `WindowTaps` with a leading axis B.

    Raises:
        UserError: the shape is too small for an image.
    """
    items = [_window_taps(int(height), int(width), spec, shape) for height, width in np.asarray(sizes)]
    return WindowTaps(
        stack_taps([item.rows for item in items]),
        stack_taps([item.columns for item in items]),
        *(np.stack(field) for field in zip(*(item[2:] for item in items), strict=True)),
    )


@functools.lru_cache(maxsize=1024)
def _window_taps(height: int, width: int, spec: WindowSpec, shape: tuple[int, int]) -> WindowTaps:
    size = (height, width)
    new_size = short_side_size(height, width, spec.side)
    axes: list[Taps] = []
    starts: list[np.ndarray] = []
    for old, new in zip(size, new_size, strict=True):
        whole, (shown, start) = taps(old, new), _shown(new, spec.starts, spec.size)
        if len(shown) > shape[0] or whole.weights.shape[1] > shape[1]:
            needed = (len(shown), whole.weights.shape[1])
            raise UserError(f"an image of {height} x {width} needs {needed} pixels and taps, more than {shape}")
        first, weights = np.zeros(shape[0], np.int32), np.zeros(shape, np.int32)
        first[: len(shown)] = whole.first[shown]
        weights[: len(shown), : whole.weights.shape[1]] = whole.weights[shown]
        axes.append(Taps(first, weights))
        starts.append(start)
    vertical_first = vertical_pass_first(size, new_size, pass_order=spec.pass_order)
    return WindowTaps(axes[0], axes[1], starts[0], starts[1], vertical_first)


def stack_window_taps(items: list[WindowTaps]) -> WindowTaps:
    """Stacks the taps of several scales, equal in shape, on a new axis behind that of the images."""
    return jax.tree.map(lambda *arrays: np.stack(arrays, axis=1), *items)


def render_windows(
    canvas: UInt8[ArrayLike, "B S S C"],
    items: WindowTaps,
    *,
    size: int,
    places: tuple[tuple[int, int, bool], ...],
    images_at_once: int = 1,
) -> UInt8[Array, "B s n {size} {size} C"]:
    """Makes the windows of a batch, one scale after the other; to be called under jit.

    Args:
        canvas: 0..255, images in the top left corner.
        items: taps of B images and s scales, fields [B, s, ...] (`batch_window_taps`, `stack_window_taps`).
        size: side of the windows, that of the spec.
        places: the views, those of the spec.
        images_at_once: images that are vectorised together. One is fastest on a CPU (500 x 375 pixels to 672 shown, two
            cores: 3 ms per image and scale, against 8 with eight at a time); a GPU wants all.

    Returns:
        The n windows of each image and scale, in the order of `places`.
    """

    def windows(image: UInt8[Array, "S S C"], item: WindowTaps) -> UInt8[Array, "n size size C"]:
        resized = apply_taps(image, item.rows, item.columns, item.vertical_first)
        padded = jnp.pad(resized, ((size, size), (size, size), (0, 0)))

        def cut(row: int, column: int, mirrored: bool) -> UInt8[Array, "size size C"]:
            corner = (item.top[row], item.left[column], jnp.int32(0))
            window = jax.lax.dynamic_slice(padded, corner, (size, size, image.shape[2]))
            return window[:, ::-1] if mirrored else window

        return jnp.stack([cut(*place) for place in places])

    def scales(one: tuple[UInt8[Array, "S S C"], WindowTaps]) -> UInt8[Array, "s n size size C"]:
        return jax.lax.map(functools.partial(windows, one[0]), one[1])

    canvas, items = jax.tree.map(jnp.asarray, (canvas, items))
    return jax.lax.map(scales, (canvas, items), batch_size=None if images_at_once == 1 else images_at_once)
