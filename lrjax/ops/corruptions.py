"""Six corruptions of ImageNet-C for photographs of any size, drawn from a seed per image (numpy, scipy).

They follow the published definitions and strengths, not the published random numbers. Two differ further: snow is kept
in floating point instead of being rounded to bytes between its steps, and frost is drawn, because the published
photographs of it are not part of this package.

Reference: Hendrycks and Dietterich 2019, arXiv 1903.12261 (ImageNet-C); its use at full size: arXiv 2304.05538.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from scipy import ndimage

from lrjax.errors import UserError

SMALLEST_SIDE = 32
"""Shortest side in pixels of an image that can be corrupted."""

_IMPULSE = (0.03, 0.06, 0.09, 0.17, 0.27)
_BRIGHTNESS = (0.1, 0.2, 0.3, 0.4, 0.5)
_ZOOM = ((12, 0.01), (16, 0.01), (11, 0.02), (13, 0.02), (11, 0.03))  # how many factors from 1 on, and their step
_FOG = ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4))  # amount, smoothness
_FROST = ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75))  # share of the image, of the ice
_SNOW = (  # mean, deviation, zoom, threshold, length and deviation of the streaks, share of the image
    (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
    (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
    (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
    (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
    (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
)
_Pixels = Float32[np.ndarray, "H W 3"]
_Plane = Float32[np.ndarray, "H W"]
_LUMA = (0.299, 0.587, 0.114)
_ICE = (0.82, 0.92, 1.0)


def corrupt(image: np.ndarray, name: str, *, severity: int, seed: int | Sequence[int]) -> UInt8[np.ndarray, "H W 3"]:
    """Corrupts an image.

    Args:
        image: uint8 [H, W, 3], 0..255, both sides at least `SMALLEST_SIDE`.
        name: one of `CORRUPTIONS`.
        severity: 1..5.
        seed: of this image, 0 or above; for instance (seed of the data set, index of the image).

    Returns:
        The corrupted image, 0..255, truncated to whole numbers as published.

    Raises:
        UserError: an unknown name, a severity outside 1..5, or an image of another form.
    """
    if name not in CORRUPTIONS:
        raise UserError(f"unknown corruption {name!r}; use one of {', '.join(CORRUPTIONS)}")
    if severity not in range(1, 6):
        raise UserError(f"severity is {severity}; give a whole number from 1 to 5")
    _check(image)
    generator = np.random.default_rng(seed)
    pixels = image.astype(np.float32) / 255
    changed = CORRUPTIONS[name](pixels, severity - 1, generator)
    # the margin holds values like 127.99999 at the whole number that they stand for
    return (np.clip(changed, 0, 1) * 255 + 1e-3).astype(np.uint8)


def peak_bytes(name: str, height: int, width: int) -> int:
    """Returns a bound on the memory that `corrupt` takes beside the image, measured with numpy 2.

    Args:
        name: one of `CORRUPTIONS`.
        height: of the image in pixels.
        width: of the image in pixels.
    """
    size = 64 * height * width
    if name in ("fog", "frost"):  # a cloud is a square of a power of two
        size += 14 * 4 ** (max(height, width) - 1).bit_length()
    return size


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"the image is {image.dtype} {list(image.shape)}; give uint8 [height, width, 3]")
    if min(image.shape[:2]) < SMALLEST_SIDE:
        raise UserError(f"the image has {image.shape[0]} x {image.shape[1]} pixels; sides start at {SMALLEST_SIDE}")


def _impulse_noise(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Sets a share of the values, channel by channel, to black or white with equal chance."""
    drawn = generator.random(pixels.shape, dtype=np.float32)
    share = _IMPULSE[level]
    return np.where(drawn < share / 2, 0, np.where(drawn < share, 1, pixels))


def _brightness(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Adds to the value of HSV: with hue and saturation kept, all channels grow by the factor of the largest."""
    value = pixels.max(axis=2, keepdims=True)
    brighter = np.minimum(value + np.float32(_BRIGHTNESS[level]), 1)
    return np.where(value > 0, pixels * (brighter / np.maximum(value, 1 / 255)), brighter)


def _zoom_blur(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Averages the image and its enlargements about the centre, among which the factor 1 is once more."""
    count, step = _ZOOM[level]
    total = pixels.copy()
    for number in range(count):
        total += _enlarged_centre(pixels, 1 + step * number)
    return total / (count + 1)


def _fog(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Adds a bright cloud and scales back so that the brightest value stays."""
    amount, smoothness = _FOG[level]
    brightest = pixels.max()
    height, width = pixels.shape[:2]
    cloud = _cloud(height, width, smoothness, generator)
    return (pixels + amount * cloud[..., None]) * brightest / (brightest + amount)


def _snow(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Whitens the image and adds streaks, once as drawn and once turned by half a turn."""
    mean, deviation, factor, threshold, length, spread, share = _SNOW[level]
    flakes = generator.normal(mean, deviation, pixels.shape[:2]).astype(np.float32)
    flakes = _enlarged_centre(flakes[..., None], factor)[..., 0]
    flakes = np.clip(np.where(flakes < threshold, 0, flakes), 0, 1)
    layer = _streaked(flakes, length, spread, generator.uniform(-135, -45))[..., None]
    grey = (pixels @ np.asarray(_LUMA, np.float32))[..., None]
    whitened = share * pixels + (1 - share) * np.maximum(pixels, 1.5 * grey + 0.5)
    return whitened + layer + layer[::-1, ::-1]


def _frost(pixels: _Pixels, level: int, generator: np.random.Generator) -> _Pixels:
    """Lays ice over the image."""
    own, other = _FROST[level]
    height, width = pixels.shape[:2]
    return own * pixels + other * _ice(height, width, generator)


CORRUPTIONS: dict[str, Callable[..., np.ndarray]] = {
    "impulse_noise": _impulse_noise,
    "zoom_blur": _zoom_blur,
    "snow": _snow,
    "frost": _frost,
    "fog": _fog,
    "brightness": _brightness,
}
"""The corruptions by name."""


def _enlarged_centre(image: Float32[np.ndarray, "H W C"], factor: float) -> Float32[np.ndarray, "H W C"]:
    """The middle of an image, enlarged to the size of the whole."""
    height, width = image.shape[:2]
    rows, columns = math.ceil(height / factor), math.ceil(width / factor)
    top, left = (height - rows) // 2, (width - columns) // 2
    larger = np.asarray(ndimage.zoom(image[top : top + rows, left : left + columns], (factor, factor, 1), order=1))
    top, left = (larger.shape[0] - height) // 2, (larger.shape[1] - width) // 2
    return larger[top : top + height, left : left + width]


def _cloud(
    height: int, width: int, smoothness: float, generator: np.random.Generator
) -> Float32[np.ndarray, "{height} {width}"]:
    """A fractal surface from 0 to 1 by midpoint displacement on a torus (diamond-square)."""
    surface, amplitude = np.zeros((1, 1), np.float32), 1.0
    while len(surface) < max(height, width):
        side = len(surface)

        def displaced(*corners, size=side, amplitude=amplitude):
            return sum(corners) / 4 + amplitude * generator.uniform(-1, 1, (size, size)).astype(np.float32)

        right, below = np.roll(surface, -1, 1), np.roll(surface, -1, 0)
        middle = displaced(surface, right, below, np.roll(right, -1, 0))
        finer = np.empty((2 * side, 2 * side), np.float32)
        finer[::2, ::2], finer[1::2, 1::2] = surface, middle
        finer[::2, 1::2] = displaced(surface, right, middle, np.roll(middle, 1, 0))
        finer[1::2, ::2] = displaced(surface, below, middle, np.roll(middle, 1, 1))
        # the published program multiplies the decaying amplitude with itself
        surface, amplitude = finer, amplitude / smoothness**2
    surface -= surface.min()
    return (surface / surface.max())[:height, :width]


def _streaked(image: _Plane, length: int, deviation: float, angle: float) -> _Plane:
    """Blurs along a half-line by half a Gaussian of 2 * length + 1 steps; the border is repeated."""
    steps = np.arange(2 * length + 1)
    weights = np.exp(-(steps**2) / (2 * deviation**2))
    down = np.rint(-steps * math.sin(math.radians(angle))).astype(int)
    right = np.rint(-steps * math.cos(math.radians(angle))).astype(int)
    reach = 2 * length
    padded = np.pad(image, reach, mode="edge")
    height, width = image.shape
    blurred = np.zeros_like(image)
    for weight, dy, dx in zip(weights / weights.sum(), down, right, strict=True):
        blurred += np.float32(weight) * padded[reach - dy : reach - dy + height, reach - dx : reach - dx + width]
    return blurred


def _ice(height: int, width: int, generator: np.random.Generator) -> Float32[np.ndarray, "{height} {width} 3"]:
    """Needles in random directions, dense where a cloud is thick."""
    thick = _cloud(height, width, 1.6, generator)
    needles = np.zeros((height, width), np.float32)
    for _ in range(6):
        seeds = (generator.random((height, width), dtype=np.float32) < 0.02 * thick**2).astype(np.float32)
        streaks = _streaked(seeds, 20, 16, generator.uniform(0, 360))
        needles = np.maximum(needles, streaks / max(float(streaks.max()), 1e-6))
    return np.clip(0.25 + 0.5 * thick + 0.6 * needles, 0, 1)[..., None] * np.asarray(_ICE, np.float32)
