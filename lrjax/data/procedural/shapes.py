"""Anti-aliased masks of filled shapes and of letters."""

import functools
import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lrjax.data.procedural.vocabulary import IMAGE_SIZE
from lrjax.errors import UserError

_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
)
_SUPERSAMPLE = 2
_GREATEST_LETTER_WIDTH = 0.8 * IMAGE_SIZE


def _arc(radius: float, start: float, stop: float, count: int, centre: tuple[float, float] = (0, 0)) -> np.ndarray:
    angle = np.radians(np.linspace(start, stop, count))
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)], axis=1)


def _regular(corners: int, start: float, radius: float = 1.0) -> np.ndarray:
    return _arc(radius, start, start + 360, corners + 1)[:-1]


def _star() -> np.ndarray:
    points = np.empty((10, 2))
    points[0::2] = _regular(5, -90)
    points[1::2] = _regular(5, -54, 0.42)
    return points


def _heart() -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    return np.stack([x, -y], axis=1)


def _crescent() -> np.ndarray:
    # A unit circle is bitten by one of radius 0.82 at (0.52, 0); both equations give the x at which they meet.
    meeting = (1 + 0.52**2 - 0.82**2) / (2 * 0.52)
    outer = np.degrees(np.arccos(meeting))
    inner = np.degrees(np.arctan2(np.sqrt(1 - meeting**2), meeting - 0.52))
    return np.concatenate([_arc(1, outer, 360 - outer, 40), _arc(0.82, 360 - inner, inner, 40, (0.52, 0))])


def _cross() -> np.ndarray:
    x = (-3, 3, 3, 9, 9, 3, 3, -3, -3, -9, -9, -3)
    y = (-9, -9, -3, -3, 3, 3, 9, 9, 3, 3, -3, -3)
    return np.array([x, y]).T


def _house() -> np.ndarray:
    x = (0, 4, 4, 6.5, 6.5, 10, 7, 7, -7, -7, -10)
    y = (-10, -5.6, -9, -9, -2.8, 1, 1, 9, 9, 1, 1)
    return np.array([x, y]).T


# Contours in any unit, y down; the second contour of a shape is a hole.
_CONTOURS = {
    "circle": [_regular(64, 0)],
    "square": [np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])],
    "triangle": [np.array([(0, -0.95), (1, 0.8), (-1, 0.8)])],
    "star": [_star()],
    "heart": [_heart()],
    "cross": [_cross()],
    "ring": [_regular(64, 0), _regular(64, 0, 0.52)],
    "crescent": [_crescent()],
    "arrow": [np.array([(-10, -3), (1, -3), (1, -8), (10, 0), (1, 8), (1, 3), (-10, 3)])],
    "hexagon": [_regular(6, 0)],
    "diamond": [np.array([(0, -1), (0.7, 0), (0, 1), (-0.7, 0)])],
    "house": [_house(), np.array([(-2, 3), (2, 3), (2, 9), (-2, 9)])],
}


def _unit(contours: list[np.ndarray]) -> list[np.ndarray]:
    low, high = contours[0].min(axis=0), contours[0].max(axis=0)
    return [(contour - (low + high) / 2) / (high - low).max() for contour in contours]


_UNIT_CONTOURS = {name: _unit(contours) for name, contours in _CONTOURS.items()}


def shape_mask(
    name: str, rng: np.random.Generator, *, extent: tuple[float, float], jitter: float, outline: float
) -> tuple[Image.Image, Image.Image]:
    """Return the mask of a filled shape and the mask of its outline.

    Args:
        name: One of SHAPES.
        rng: The source of size, place and rotation.
        extent: Least and greatest larger side of the shape, as a fraction of the picture.
        jitter: Greatest shift of the centre, as a fraction of the picture.
        outline: Width of the outline in pixels.

    Returns:
        Two "L" pictures, 0..255.
    """
    size = _SUPERSAMPLE * IMAGE_SIZE
    scale = size * rng.uniform(*extent)
    angle = np.radians(rng.uniform(-12, 12))
    centre = size * (0.5 + rng.uniform(-jitter, jitter, 2))
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    fill, line = Image.new("L", (size, size)), Image.new("L", (size, size))
    draw_fill, draw_line = ImageDraw.Draw(fill), ImageDraw.Draw(line)
    contours = [scale * contour @ rotation for contour in _UNIT_CONTOURS[name]]
    margin = _SUPERSAMPLE * (outline / 2 + 2)
    centre = np.clip(centre, margin - contours[0].min(axis=0), size - margin - contours[0].max(axis=0))
    for index, contour in enumerate(contours):
        points = (contour + centre).ravel().tolist()
        draw_fill.polygon(points, fill=0 if index else 255)
        draw_line.line(points + points[:4], fill=255, width=round(_SUPERSAMPLE * outline), joint="curve")
    return fill.reduce(_SUPERSAMPLE), line.reduce(_SUPERSAMPLE)


def require_fonts() -> None:
    """Checks, before the first letter is drawn, that the fonts are there.

    Raises:
        UserError: matplotlib, which they come with, is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("rendered letters need the DejaVu fonts of matplotlib; run `pip install matplotlib`")


@functools.cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)


def letter_mask(letter: str, rng: np.random.Generator) -> Image.Image:
    """Return the mask of a capital letter of 50..75 % of the picture's height.

    Args:
        letter: One of LETTERS.
        rng: The source of font, size, place and rotation.

    Returns:
        An "L" picture, 0..255.

    Raises:
        UserError: matplotlib, whose fonts are used, is not installed.
    """
    # A DejaVu capital is 0.73 of the font size high; sizes in steps of 4 keep the font cache small.
    size = 4 * round(IMAGE_SIZE * rng.uniform(0.50, 0.75) / 0.73 / 4)
    name = _FONTS[int(rng.integers(len(_FONTS)))]
    left, top, right, bottom = _font(name, size).getbbox(letter)
    if right - left > _GREATEST_LETTER_WIDTH:
        size = int(size * _GREATEST_LETTER_WIDTH / (right - left))
        left, top, right, bottom = _font(name, size).getbbox(letter)
    font = _font(name, size)
    centre = IMAGE_SIZE * (0.5 + rng.uniform(-0.08, 0.08, 2))
    reach = np.array([right - left, bottom - top]) / 2 + 12  # a rotation of 8 degrees moves a corner by about 12 pixels
    x, y = np.clip(centre, reach, IMAGE_SIZE - reach)
    mask = Image.new("L", (IMAGE_SIZE, IMAGE_SIZE))
    ImageDraw.Draw(mask).text((x - (left + right) / 2, y - (top + bottom) / 2), letter, fill=255, font=font)
    return mask.rotate(rng.uniform(-8, 8), resample=Image.Resampling.BILINEAR, center=(x, y))
