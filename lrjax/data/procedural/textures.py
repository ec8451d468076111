"""Two-colour textures as anti-aliased masks."""

import numpy as np
from PIL import Image, ImageDraw

from lrjax.data.procedural.vocabulary import IMAGE_SIZE

_Y, _X = np.mgrid[:IMAGE_SIZE, :IMAGE_SIZE].astype(np.float32) - np.float32((IMAGE_SIZE - 1) / 2)


def _rotated(degrees: float) -> tuple[np.ndarray, np.ndarray]:
    cos, sin = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    return cos * _X + sin * _Y, cos * _Y - sin * _X


def _from_centre(coordinate: np.ndarray, period: float) -> np.ndarray:
    """Return the distance in pixels from the nearest multiple of the period."""
    phase = coordinate * np.float32(1 / period)
    phase -= np.rint(phase)
    return np.abs(phase, out=phase) * np.float32(period)


def _below(distance: np.ndarray, edge: float) -> np.ndarray:
    """Return 1 where the distance is below the edge, 0 above it, with a ramp of one pixel."""
    return np.clip(np.float32(edge + 0.5) - distance, 0, 1)


def _stripes(coordinate: np.ndarray, period: float, duty: float) -> np.ndarray:
    return _below(_from_centre(coordinate, period), duty * period / 2)


def _plain_stripes(rng: np.random.Generator, degrees: float) -> np.ndarray:
    u, _ = _rotated(degrees + rng.uniform(-7, 7))
    period = rng.uniform(9, 26)
    return _stripes(u + np.float32(rng.uniform(0, period)), period, rng.uniform(0.45, 0.6))


def _horizontal(rng: np.random.Generator) -> np.ndarray:
    return _plain_stripes(rng, 90)


def _vertical(rng: np.random.Generator) -> np.ndarray:
    return _plain_stripes(rng, 0)


def _diagonal(rng: np.random.Generator) -> np.ndarray:
    return _plain_stripes(rng, 45 if rng.random() < 0.5 else 135)


def _checkerboard(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-7, 7))
    period = rng.uniform(15, 26)
    shift = rng.uniform(0, period, 2)
    a = _stripes(u + np.float32(shift[0]), period, 0.5)
    b = _stripes(v + np.float32(shift[1]), period, 0.5)
    return a + b - 2 * a * b


def _polka_dots(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-7, 7))
    period = rng.uniform(15, 26)
    u += np.float32(rng.uniform(0, period))
    v += np.float32(rng.uniform(0, period))
    row = np.rint(v * np.float32(1 / period))
    v -= row * np.float32(period)
    u = _from_centre(u + row * np.float32(period / 2), period)
    return _below(np.sqrt(u * u + v * v), rng.uniform(0.28, 0.36) * period)


def _grid(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-7, 7))
    period = rng.uniform(13, 26)
    half = 1.0 + rng.uniform(0.03, 0.06) * period
    shift = rng.uniform(0, period, 2)
    across = _below(_from_centre(u + np.float32(shift[0]), period), half)
    return np.maximum(across, _below(_from_centre(v + np.float32(shift[1]), period), half))


def _zigzag(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-7, 7))
    length, period = rng.uniform(28, 48), rng.uniform(13, 24)
    return _stripes(v + np.float32(rng.uniform(0.9, 1.2)) * _from_centre(u, length), period, rng.uniform(0.45, 0.55))


def _waves(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-7, 7))
    length, period = rng.uniform(55, 100), rng.uniform(13, 24)
    bend = np.float32(rng.uniform(0.11, 0.15) * length) * np.sin(u * np.float32(2 * np.pi / length))
    return _stripes(v + bend, period, rng.uniform(0.45, 0.55))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    u, v = _rotated(rng.uniform(-5, 5))
    height = rng.uniform(13, 24)
    width, mortar = height * rng.uniform(1.9, 2.4), rng.uniform(1.2, 1.8)
    v += np.float32(rng.uniform(0, height))
    row = np.floor(v * np.float32(1 / height))
    joint = _below(_from_centre(v, height), mortar)
    side = _below(_from_centre(u + row * np.float32(width / 2), width), mortar)
    return 1 - np.maximum(joint, side)


def _concentric(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.uniform(-30, 30, 2).astype(np.float32)
    radius = np.sqrt((_X - x) ** 2 + (_Y - y) ** 2)
    return _stripes(radius, rng.uniform(10, 26), rng.uniform(0.45, 0.6))


def _speckles(rng: np.random.Generator) -> np.ndarray:
    radius = rng.uniform(1.6, 3.2)
    count = int(0.24 * IMAGE_SIZE**2 / (np.pi * radius**2))
    places = rng.uniform(0, 2 * IMAGE_SIZE, (count, 2))
    radii = 2 * radius * rng.uniform(0.6, 1.3, (count, 1))
    picture = Image.new("L", (2 * IMAGE_SIZE, 2 * IMAGE_SIZE))
    draw = ImageDraw.Draw(picture)
    for box in np.concatenate([places - radii, places + radii], axis=1).tolist():
        draw.ellipse(box, fill=255)
    return np.asarray(picture.reduce(2), np.float32) / 255


_TEXTURES = {
    "horizontal stripes": _horizontal,
    "vertical stripes": _vertical,
    "diagonal stripes": _diagonal,
    "checkerboard squares": _checkerboard,
    "polka dots": _polka_dots,
    "grid lines": _grid,
    "zigzag lines": _zigzag,
    "wavy lines": _waves,
    "bricks": _bricks,
    "concentric circles": _concentric,
    "speckles": _speckles,
}


def texture_mask(name: str, rng: np.random.Generator) -> Image.Image:
    """Return the mask of a texture that fills the picture, with a period of 9..26 pixels.

    Args:
        name: One of TEXTURES.
        rng: The source of period, phase and angle.

    Returns:
        An "L" picture, 255 for the first colour and 0 for the second.
    """
    return Image.fromarray((255 * _TEXTURES[name](rng) + np.float32(0.5)).astype(np.uint8))
