"""Named colours with jitter, and which of them are clearly different from one another."""

import colorsys

import numpy as np

from lrjax.data.procedural.vocabulary import COLOURS

RGB = tuple[int, int, int]

# (hue in degrees, its jitter), (saturation range), (value range)
_HSV = {
    "red": ((0, 6), (0.85, 1.0), (0.75, 0.95)),
    "orange": ((29, 4), (0.92, 1.0), (0.95, 1.0)),
    "yellow": ((56, 4), (0.80, 1.0), (0.93, 1.0)),
    "green": ((122, 16), (0.70, 1.0), (0.45, 0.75)),
    "cyan": ((182, 6), (0.75, 1.0), (0.88, 1.0)),
    "blue": ((226, 9), (0.80, 1.0), (0.65, 0.95)),
    "purple": ((278, 7), (0.65, 0.90), (0.50, 0.72)),
    "pink": ((332, 8), (0.35, 0.50), (0.97, 1.0)),
    "brown": ((24, 5), (0.65, 0.80), (0.34, 0.46)),
    "black": ((0, 180), (0.0, 0.20), (0.0, 0.08)),
    "white": ((0, 180), (0.0, 0.03), (0.96, 1.0)),
}
# In units of 8-bit luma; the second bound keeps fine textures of two colours from looking flat.
_MINIMUM_DISTANCE = 105.0
_MINIMUM_LUMA_DIFFERENCE = 30.0


def sample_colour(name: str, rng: np.random.Generator) -> RGB:
    """Return one colour of the named class.

    Args:
        name: One of COLOURS.
        rng: The source of the jitter.

    Returns:
        Red, green and blue, 0..255.
    """
    (hue, jitter), saturation, value = _HSV[name]
    u, v, w = rng.random(3)
    channels = colorsys.hsv_to_rgb(
        ((hue + jitter * (2 * u - 1)) % 360) / 360,
        saturation[0] + v * (saturation[1] - saturation[0]),
        value[0] + w * (value[1] - value[0]),
    )
    red, green, blue = (round(255 * channel) for channel in channels)
    return red, green, blue


def luminance(rgb: RGB | np.ndarray) -> float:
    """Return the luma, 0..255, of a colour (ITU-R BT.601 weights)."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def _centre(name: str) -> np.ndarray:
    (hue, _), saturation, value = _HSV[name]
    rgb = 255 * np.array(colorsys.hsv_to_rgb(hue / 360, sum(saturation) / 2, sum(value) / 2))
    luma = luminance(rgb)
    return np.array([luma, 0.564 * (rgb[2] - luma), 0.713 * (rgb[0] - luma)])


_CENTRES = {name: _centre(name) for name in COLOURS}


def _contrast(difference: np.ndarray) -> bool:
    return bool(np.linalg.norm(difference) >= _MINIMUM_DISTANCE and abs(difference[0]) >= _MINIMUM_LUMA_DIFFERENCE)


CONTRASTING = {
    name: tuple(other for other in COLOURS if _contrast(_CENTRES[name] - _CENTRES[other])) for name in COLOURS
}


def contrasting_grey(rgb: RGB, rng: np.random.Generator) -> RGB:
    """Return a middle grey whose luma differs from the colour's by 60 or more, or by as much as middle greys allow.

    Args:
        rgb: The colour that must stand out, 0..255.
        rng: The source of the choice.

    Returns:
        A grey, 90..180.
    """
    luma = luminance(rgb)
    below = max(90.0, min(180.0, luma - 60))
    above = min(180.0, max(90.0, luma + 60))
    ranges = [(low, high) for low, high in ((90.0, below), (above, 180.0)) if high > low]
    if ranges:
        low, high = ranges[int(rng.integers(len(ranges)))]
        level = round(rng.uniform(low, high))
    else:
        level = 90 if luma > 135 else 180
    return (level, level, level)
