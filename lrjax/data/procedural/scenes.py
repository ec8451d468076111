"""Landscapes composed of a sky, a ground and fine elements (windows, trees, stars, waves)."""

import math

import numpy as np
from PIL import Image, ImageDraw

from lrjax.data.procedural.vocabulary import IMAGE_SIZE

_SIZE = 2 * IMAGE_SIZE
Colour = tuple[int, int, int]

# (top, bottom) of the sky; scenes share them, so that the sky alone seldom tells the scene.
_DAY = [((90, 160, 235), (190, 225, 250)), ((60, 130, 210), (150, 205, 245)), ((120, 180, 220), (225, 235, 240))]
_GREY = [((150, 160, 175), (215, 220, 228)), ((170, 175, 180), (225, 225, 225))]
_DUSK = [((90, 70, 140), (245, 160, 120)), ((120, 90, 150), (250, 190, 150))]
_NIGHT = [((8, 10, 35), (30, 40, 85)), ((15, 8, 40), (55, 35, 95)), ((4, 14, 26), (20, 60, 80))]
_EVENING = [((110, 40, 110), (255, 150, 50)), ((190, 50, 60), (255, 200, 70)), ((60, 50, 130), (255, 130, 110))]

_SEA = [(30, 110, 170), (40, 150, 170), (60, 100, 140), (20, 80, 130)]
_SAND = [(230, 205, 150), (240, 220, 180), (215, 185, 130), (225, 190, 160)]
_DUNE = [(225, 170, 95), (205, 140, 80), (235, 195, 130), (190, 120, 75)]
_LEAF = [(30, 100, 45), (50, 120, 40), (25, 80, 60), (150, 110, 30), (170, 80, 30), (70, 100, 40)]
_GRASS = [(90, 160, 60), (130, 170, 60), (200, 180, 80), (110, 140, 50)]
_ROCK = [(110, 110, 125), (95, 100, 90), (130, 105, 90), (90, 105, 135)]
_WALL = [(70, 75, 90), (110, 85, 75), (140, 140, 150), (60, 60, 70), (150, 115, 95), (90, 110, 130)]
_BLOOM = [(230, 60, 60), (250, 220, 60), (250, 250, 250), (190, 80, 190), (250, 150, 60)]
_TRUNK = (90, 60, 35)


def _choose(rng: np.random.Generator, options: list) -> tuple:
    return options[int(rng.integers(len(options)))]


def _jitter(rng: np.random.Generator, colour: Colour, amount: float = 12) -> Colour:
    offsets = rng.uniform(-amount, amount, 3)
    red, green, blue = (min(255, max(0, round(c + d))) for c, d in zip(colour, offsets, strict=True))
    return red, green, blue


def _shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(255, round(c * factor)) for c in colour)
    return red, green, blue


def _sky(rng: np.random.Generator, skies: list, bottom: float = 1.0) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    top, low = _choose(rng, skies)
    ramp = np.clip(np.linspace(0, 1 / bottom, _SIZE), 0, 1)[:, None]
    start, stop = np.array(_jitter(rng, top)), np.array(_jitter(rng, low))
    column = (start + ramp * (stop - start)).astype(np.uint8)[:, None, :]
    picture = Image.fromarray(column).resize((_SIZE, _SIZE), Image.Resampling.NEAREST)
    return picture, ImageDraw.Draw(picture)


def _oval(draw: ImageDraw.ImageDraw, x: float, y: float, width: float, height: float, fill: Colour) -> None:
    draw.ellipse((x - width, y - height, x + width, y + height), fill=fill)


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _ground(draw: ImageDraw.ImageDraw, heights: np.ndarray, fill: Colour) -> None:
    """Fill everything below a line of heights (0 = top, 1 = bottom), evenly spaced from left to right."""
    x = np.linspace(-2, _SIZE + 2, len(heights))
    points = np.stack([x, heights * _SIZE], axis=1).ravel().tolist()
    draw.polygon([*points, _SIZE + 2, _SIZE + 2, -2, _SIZE + 2], fill=fill)


def _rolling(rng: np.random.Generator, base: float, height: float, turns: float = 1.5) -> np.ndarray:
    t = np.linspace(0, 2 * np.pi, 40)
    a, b = rng.uniform(0, 2 * np.pi, 2)
    return base + height * (0.7 * np.sin(turns * t + a) + 0.3 * np.sin(2.3 * turns * t + b))


def _clouds(draw: ImageDraw.ImageDraw, rng: np.random.Generator, bottom: float, fill: Colour = (245, 245, 248)) -> None:
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = rng.uniform(0, _SIZE), rng.uniform(0.05, bottom) * _SIZE, rng.uniform(0.03, 0.055) * _SIZE
        for dx, dy, k in ((-1.3, 0.25, 0.75), (0, 0, 1), (1.3, 0.2, 0.8)):
            _oval(draw, x + dx * r, y + dy * r, 1.2 * k * r, 0.7 * k * r, fill)


def _dots(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, count: int, rows: tuple[float, float],
    radius: tuple[float, float], colours: list,
) -> None:  # fmt: skip
    x, y = rng.uniform(0, _SIZE, count), rng.uniform(rows[0], rows[1], count) * _SIZE
    r, which = rng.uniform(radius[0], radius[1], count), rng.integers(len(colours), size=count)
    for cx, cy, cr, colour in zip(x.tolist(), y.tolist(), r.tolist(), which.tolist(), strict=True):
        draw.ellipse((cx - cr, cy - cr, cx + cr, cy + cr), fill=colours[colour])


def _dashes(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, count: int, rows: tuple[float, float], fill: Colour
) -> None:
    """Draw short horizontal ripples, longer towards the bottom."""
    x, y = rng.uniform(0, _SIZE, count), rng.uniform(rows[0], rows[1], count)
    length = _SIZE * (0.02 + 0.08 * y) * rng.uniform(0.5, 1.2, count)
    for cx, cy, half in zip(x.tolist(), (y * _SIZE).tolist(), length.tolist(), strict=True):
        draw.line(
            (cx - half, cy, cx - half / 2, cy - 5, cx, cy, cx + half / 2, cy - 5, cx + half, cy), fill=fill, width=4
        )


def _conifer(draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, fill: Colour, snow: bool = False) -> None:
    draw.rectangle((x - 0.05 * height, foot - 0.15 * height, x + 0.05 * height, foot), fill=_TRUNK)
    for level, half in ((0.12, 0.30), (0.38, 0.24), (0.64, 0.17)):
        low, high = foot - level * height, foot - (level + 0.4) * height
        draw.polygon((x - half * height, low, x, high, x + half * height, low), fill=fill)
        if snow:
            mid = 0.5 * low + 0.5 * high
            draw.polygon((x - half * height / 2, mid, x, high, x + half * height / 2, mid), fill=(250, 252, 255))


def _broadleaf(draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, fill: Colour) -> None:
    draw.rectangle((x - 0.06 * height, foot - 0.5 * height, x + 0.06 * height, foot), fill=_TRUNK)
    for dx, dy, radius in ((-0.16, 0.58, 0.19), (0.16, 0.58, 0.19), (0, 0.78, 0.22)):
        _disc(draw, x + dx * height, foot - dy * height, radius * height, fill)


def _beach(rng: np.random.Generator) -> Image.Image:
    horizon, shore = rng.uniform(0.28, 0.42), rng.uniform(0.55, 0.66)
    picture, draw = _sky(rng, _DAY + _GREY + _DUSK, horizon)
    _clouds(draw, rng, horizon * 0.7)
    sea, sand = _jitter(rng, _choose(rng, _SEA)), _jitter(rng, _choose(rng, _SAND))
    draw.rectangle((0, horizon * _SIZE, _SIZE, _SIZE), fill=sea)
    _dashes(draw, rng, 14, (horizon + 0.03, shore - 0.05), _shade(sea, 1.4))
    edge = _rolling(rng, shore, 0.025)
    _ground(draw, edge - 0.02, (245, 250, 250))
    _ground(draw, edge, sand)
    _dots(draw, rng, 110, (shore + 0.05, 1), (1.2, 3), [_shade(sand, 0.8), _shade(sand, 0.65)])
    for _ in range(int(rng.integers(1, 3))):
        x, y, r = rng.uniform(0.12, 0.88) * _SIZE, rng.uniform(0.58, 0.68) * _SIZE, rng.uniform(0.10, 0.14) * _SIZE
        draw.line((x, y, x, y + 1.6 * r), fill=(120, 90, 60), width=6)
        first, second = _choose(rng, _BLOOM), (250, 250, 250)
        for part in range(6):
            fill = _jitter(rng, first, 5) if part % 2 == 0 else second
            draw.pieslice((x - r, y - r, x + r, y + r), 180 + 30 * part, 210 + 30 * part, fill=fill)
    return picture


def _forest(rng: np.random.Generator) -> Image.Image:
    picture, draw = _sky(rng, _DAY + _GREY + _DUSK)
    base = rng.uniform(0.5, 0.6)
    leaf = _choose(rng, _LEAF)
    _ground(draw, _rolling(rng, base, 0.02), _shade(leaf, 0.8))
    tree = _conifer if rng.random() < 0.6 else _broadleaf
    for row in range(3):
        foot = base + 0.06 + 0.15 * row
        height = _SIZE * (0.34 + 0.09 * row)
        places = np.linspace(-0.02, 1.02, 10 - 2 * row) + rng.uniform(-0.04, 0.04, 10 - 2 * row)
        for x, k in zip(places.tolist(), rng.uniform(0.8, 1.2, len(places)).tolist(), strict=True):
            fill = _jitter(rng, _shade(leaf, 0.75 + 0.2 * row), 14)
            tree(draw, x * _SIZE, (foot + 0.02 * k) * _SIZE, height * k, fill)
    return picture


def _mountains(rng: np.random.Generator) -> Image.Image:
    picture, draw = _sky(rng, _DAY + _GREY + _DUSK)
    _clouds(draw, rng, 0.2)
    rock = _choose(rng, _ROCK)
    for layer in range(2):
        fill = _jitter(rng, _shade(rock, 1.25 - 0.35 * layer))
        for centre in (np.linspace(0.05, 0.95, 3 + layer) + rng.uniform(-0.1, 0.1, 3 + layer)).tolist():
            peak, half = rng.uniform(0.14, 0.32) + 0.22 * layer, rng.uniform(0.26, 0.36)
            left, top, right = centre - half, peak, centre + half
            low = 0.82 + 0.1 * layer
            draw.polygon([c * _SIZE for c in (left, low, centre, top, right, low)], fill=fill)
            draw.polygon(
                [c * _SIZE for c in (centre, top, right, low, centre + 0.1 * half, low)], fill=_shade(fill, 0.8)
            )
            cap, k = 0.3 * (low - top), 0.3 * half
            zigzag = (centre - k, top + cap, centre, top, centre + k, top + cap, centre + 0.5 * k, top + 0.75 * cap,
                      centre, top + 1.15 * cap, centre - 0.5 * k, top + 0.75 * cap)  # fmt: skip
            draw.polygon([c * _SIZE for c in zigzag], fill=(248, 250, 255))
    meadow = _jitter(rng, _choose(rng, _GRASS + _LEAF))
    _ground(draw, _rolling(rng, 0.84, 0.02), meadow)
    for x in rng.uniform(0, _SIZE, 14).tolist():
        _conifer(draw, x, rng.uniform(0.87, 0.99) * _SIZE, 0.11 * _SIZE, _shade(meadow, 0.6))
    return picture


def _city(rng: np.random.Generator) -> Image.Image:
    dark = rng.random() < 0.4
    picture, draw = _sky(rng, _NIGHT + _EVENING if dark else _DAY + _GREY + _DUSK)
    road = rng.uniform(0.86, 0.92) * _SIZE
    x = -rng.uniform(0, 0.1) * _SIZE
    while x < _SIZE:
        width, top = rng.uniform(0.13, 0.22) * _SIZE, rng.uniform(0.12, 0.55) * _SIZE
        wall = _jitter(rng, _shade(_choose(rng, _WALL), 0.6 if dark else 1.1))
        draw.rectangle((x, top, x + width, road), fill=wall)
        columns = int(width // 22)
        step = width / columns
        panes = [(250, 220, 120), (60, 60, 70)] if dark else [(190, 215, 235), (50, 60, 80), (235, 240, 245)]
        rows = int((road - top - 14) // 24)
        which = rng.integers(len(panes), size=(rows, columns)).tolist()
        for row in range(rows):
            y = top + 12 + 24 * row
            for column in range(columns):
                left = x + (column + 0.25) * step
                draw.rectangle((left, y, left + 0.5 * step, y + 13), fill=panes[which[row][column]])
        x += width + rng.uniform(0, 0.02) * _SIZE
    draw.rectangle((0, road, _SIZE, _SIZE), fill=(70, 70, 75))
    for left in range(10, _SIZE, 60):
        draw.rectangle((left, road + 22, left + 30, road + 27), fill=(235, 235, 200))
    return picture


def _night_sky(rng: np.random.Generator) -> Image.Image:
    picture, draw = _sky(rng, _NIGHT)
    _dots(
        draw,
        rng,
        int(rng.integers(110, 200)),
        (0, 0.95),
        (1.5, 4.2),
        [(255, 255, 255), (255, 240, 190), (190, 210, 255)],
    )
    for x, y in rng.uniform(0, 0.8 * _SIZE, (6, 2)).tolist():
        draw.line((x - 10, y, x + 10, y), fill=(255, 255, 255), width=3)
        draw.line((x, y - 10, x, y + 10), fill=(255, 255, 255), width=3)
    if rng.random() < 0.7:
        x, y, r = rng.uniform(0.15, 0.85) * _SIZE, rng.uniform(0.12, 0.4) * _SIZE, rng.uniform(0.06, 0.11) * _SIZE
        moon = _jitter(rng, (240, 235, 205))
        _disc(draw, x, y, r, moon)
        for dx, dy, k in ((-0.3, -0.2, 0.22), (0.35, 0.1, 0.16), (-0.05, 0.45, 0.14)):
            _disc(draw, x + dx * r, y + dy * r, k * r, _shade(moon, 0.85))
    if rng.random() < 0.6:
        _ground(draw, _rolling(rng, 0.9, 0.04), (8, 10, 18))
    return picture


def _snow(rng: np.random.Generator) -> Image.Image:
    picture, draw = _sky(rng, _GREY + _DAY + _DUSK[:1])
    base = rng.uniform(0.5, 0.6)
    white = _jitter(rng, (238, 242, 250), 8)
    _ground(draw, _rolling(rng, base, 0.03), _shade(white, 0.93))
    leaf = _choose(rng, _LEAF)
    for x in rng.uniform(0, _SIZE, int(rng.integers(3, 7))).tolist():
        foot = rng.uniform(base + 0.04, 0.8) * _SIZE
        _conifer(draw, x, foot, rng.uniform(0.28, 0.4) * _SIZE, _shade(leaf, 0.8), snow=True)
    _ground(draw, _rolling(rng, 0.82, 0.03), white)
    if rng.random() < 0.6:
        x, foot, r = rng.uniform(0.2, 0.8) * _SIZE, 0.93 * _SIZE, 0.085 * _SIZE
        for up, k in ((1, 1), (2.5, 0.75), (3.65, 0.52)):
            _disc(draw, x, foot - up * r, k * r + 3, (165, 175, 195))
            _disc(draw, x, foot - up * r, k * r, (252, 253, 255))
        draw.polygon((x, foot - 3.65 * r, x + 0.7 * r, foot - 3.5 * r, x, foot - 3.45 * r), fill=(240, 130, 30))
        for dx in (-0.2, 0.2):
            _disc(draw, x + dx * r, foot - 3.85 * r, 4, (20, 20, 20))
    _dots(draw, rng, 130, (0, 1), (2, 4.5), [(255, 255, 255)])
    return picture


def _desert(rng: np.random.Generator) -> Image.Image:
    picture, draw = _sky(rng, _DAY + _DUSK + _GREY[:1])
    sand = _choose(rng, _DUNE)
    if rng.random() < 0.7:
        _disc(draw, rng.uniform(0.1, 0.9) * _SIZE, rng.uniform(0.08, 0.25) * _SIZE, 0.06 * _SIZE, (255, 240, 170))
    for layer, base in enumerate((0.52, 0.66, 0.82)):
        fill = _jitter(rng, _shade(sand, 0.82 + 0.12 * layer), 6)
        heights = _rolling(rng, base, 0.045, 1.2)
        _ground(draw, heights, fill)
        x = np.linspace(-2, _SIZE + 2, len(heights))
        for offset in (0.03, 0.055, 0.08, 0.105):
            points = np.stack([x, (heights + offset) * _SIZE], axis=1).ravel().tolist()
            draw.line(points, fill=_shade(fill, 0.88), width=3)
    for _ in range(int(rng.integers(1, 4))):
        x, foot, h = rng.uniform(0.08, 0.92) * _SIZE, rng.uniform(0.68, 0.95) * _SIZE, rng.uniform(0.2, 0.3) * _SIZE
        green, w = _jitter(rng, (60, 120, 60), 20), 0.09 * h
        draw.rounded_rectangle((x - w, foot - h, x + w, foot), w, fill=green)
        for side, low in ((-1, 0.42), (1, 0.55)):
            arm = x + side * 3.4 * w
            draw.rectangle((min(x, arm), foot - low * h, max(x, arm), foot - low * h + 1.4 * w), fill=green)
            box = (arm - 0.8 * w, foot - (low + 0.28) * h, arm + 0.8 * w, foot - low * h + 1.4 * w)
            draw.rounded_rectangle(box, 0.8 * w, fill=green)
    return picture


def _sunset(rng: np.random.Generator) -> Image.Image:
    horizon = rng.uniform(0.55, 0.68)
    picture, draw = _sky(rng, _EVENING, horizon)
    x, r = rng.uniform(0.25, 0.75) * _SIZE, rng.uniform(0.14, 0.2) * _SIZE
    sun = _jitter(rng, (255, 225, 120), 15)
    y = horizon * _SIZE - rng.uniform(0, 0.6) * r
    for row in rng.uniform(0.08, horizon - 0.1, 4).tolist():
        left, length = rng.uniform(-0.1, 0.8) * _SIZE, rng.uniform(0.2, 0.5) * _SIZE
        draw.rounded_rectangle(
            (left, row * _SIZE, left + length, row * _SIZE + 9), 4, fill=_jitter(rng, (200, 110, 120), 25)
        )
    _disc(draw, x, y, r, sun)
    ground = _jitter(rng, _choose(rng, [(60, 30, 60), (40, 30, 50), (90, 50, 80), (50, 40, 80)]))
    draw.rectangle((0, horizon * _SIZE, _SIZE, _SIZE), fill=ground)
    for step in range(12):
        y, half = horizon * _SIZE + 10 + step * 15, r * rng.uniform(0.25, 0.9) * (1 - 0.05 * step)
        if y < _SIZE:
            draw.line((x - half, y, x + half, y), fill=_shade(sun, 1 - 0.035 * step), width=6)
    return picture


def _field(rng: np.random.Generator) -> Image.Image:
    horizon = rng.uniform(0.36, 0.5)
    picture, draw = _sky(rng, _DAY + _GREY + _DUSK, horizon)
    _clouds(draw, rng, horizon * 0.7)
    grass = _jitter(rng, _choose(rng, _GRASS))
    y = horizon * _SIZE
    draw.rectangle((0, y, _SIZE, _SIZE), fill=grass)
    vanish = rng.uniform(0.3, 0.7) * _SIZE
    for index in range(-14, 15):
        x = vanish + index * 0.16 * _SIZE
        draw.polygon((vanish + 6 * index, y, x, _SIZE, x + 0.07 * _SIZE, _SIZE), fill=_shade(grass, 0.78))
    for x in rng.uniform(0, _SIZE, 3).tolist():
        _broadleaf(draw, x, y + 4, rng.uniform(0.09, 0.16) * _SIZE, _shade(grass, 0.55))
    bloom = _choose(rng, _BLOOM)
    _dots(draw, rng, 70, (horizon + 0.06, 1), (3, 6.5), [bloom, _shade(bloom, 0.9)])
    return picture


def _ocean(rng: np.random.Generator) -> Image.Image:
    horizon = rng.uniform(0.2, 0.38)
    picture, draw = _sky(rng, _DAY + _GREY + _DUSK, horizon)
    _clouds(draw, rng, horizon * 0.6)
    sea = _jitter(rng, _choose(rng, _SEA))
    draw.rectangle((0, horizon * _SIZE, _SIZE, _SIZE), fill=sea)
    t = np.arange(0, _SIZE + 12, 9)
    row, layer = horizon + 0.05, 0
    while row < 1.05:
        height, length = 4 + 9 * row, 26 + 70 * row
        wave = row * _SIZE - height * np.abs(np.sin(math.pi * (t + rng.uniform(0, length)) / length))
        points = np.stack([t, wave], axis=1).ravel().tolist()
        draw.polygon([*points, _SIZE + 12, _SIZE + 2, 0, _SIZE + 2], fill=_shade(sea, 0.85 + 0.12 * (layer % 2)))
        draw.line(points, fill=_shade(sea, 1.55), width=3)
        row, layer = row + 0.075 + 0.03 * row, layer + 1
    if rng.random() < 0.7:
        x, y, h = (
            rng.uniform(0.2, 0.8) * _SIZE,
            (horizon + rng.uniform(0.08, 0.2)) * _SIZE,
            rng.uniform(0.16, 0.24) * _SIZE,
        )
        draw.polygon(
            (x - 0.5 * h, y - 0.2 * h, x + 0.5 * h, y - 0.2 * h, x + 0.32 * h, y, x - 0.32 * h, y),
            fill=_choose(rng, _WALL),
        )
        draw.polygon((x, y - h, x, y - 0.25 * h, x + 0.45 * h, y - 0.25 * h), fill=(250, 250, 250))
        draw.polygon(
            (x - 0.05 * h, y - 0.85 * h, x - 0.05 * h, y - 0.25 * h, x - 0.4 * h, y - 0.25 * h), fill=(240, 235, 225)
        )
    return picture


_SCENES = {
    "beach": _beach,
    "forest": _forest,
    "mountains": _mountains,
    "city": _city,
    "night sky": _night_sky,
    "snow": _snow,
    "desert": _desert,
    "sunset": _sunset,
    "field": _field,
    "ocean": _ocean,
}


def scene_picture(name: str, rng: np.random.Generator) -> Image.Image:
    """Return one landscape.

    Args:
        name: One of SCENES.
        rng: The source of colours, places and counts.

    Returns:
        An "RGB" picture, 224 x 224, 0..255.
    """
    return _SCENES[name](rng).reduce(2)
