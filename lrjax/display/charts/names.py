"""Names beside points: which are printed, and places for them where they do not collide."""

import math
import re
from collections.abc import Sequence

from lrjax.display.charts import Series


def text_width(text: str, size: float) -> float:
    """Estimates how wide a text is, on the safe side for common fonts without serifs.

    Args:
        text: the longest of its lines counts.
        size: of the font, in any unit of length.

    Returns:
        Width in that unit.
    """
    return size * max(sum(_letter_width(letter) for letter in line) for line in text.split("\n"))


def _letter_width(letter: str) -> float:
    if letter in "iljtfrI.,:;|!'()[]/ -":
        return 0.36
    return 0.88 if letter in "mwMW@%" else 0.68 if letter.isupper() else 0.6


def notes(series: Series) -> list[tuple[int, str, bool]]:
    """Lists the names to print beside the points of a series.

    Args:
        series: one series.

    Returns:
        (number of the point, name, whether it is the end of a line, where the name stands to the right).
    """
    drawn = [i for i, (x, y) in enumerate(zip(series.x, series.y, strict=True)) if not math.isnan(x + y)]
    if not series.annotate or not drawn:
        return []
    names = [label.split("\n")[0] for label in series.labels] or [series.name] * len(series.x)
    if series.line and len(set(names)) == 1:
        return [(drawn[-1], names[0], True)]
    return [(i, names[i], False) for i in drawn if names[i]]


def place_names(
    anchors: Sequence[tuple[float, float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[tuple[float, float, float]],
    frame: tuple[float, float, float, float],
    *,
    gap: float,
) -> list[tuple[float, float]]:
    """Finds places for names beside their points, each where it overlaps least with names, points and the frame.

    Args:
        anchors: (x, y, radius) of the points to name, in any unit of length.
        sizes: (width, height) of the names.
        obstacles: (x, y, radius) of all points.
        frame: left, lower, right, upper bound of the names.
        gap: distance between a point and its name.

    Returns:
        Centres (x, y) of the names, in the order of the anchors.
    """
    taken = [(x - r - gap / 2, y - r - gap / 2, x + r + gap / 2, y + r + gap / 2) for x, y, r in obstacles]
    placed: list[tuple[float, float, float, float]] = []
    centres = []
    for (x, y, radius), (width, height) in zip(anchors, sizes, strict=True):
        options = []
        for number, (right, up, far) in enumerate(_DIRECTIONS):
            diagonal = 0.75 if right and up else 1.0
            distance = diagonal * radius + gap * far
            at_x, at_y = x + right * (distance + width / 2), y + up * (distance + height / 2)
            box = (at_x - width / 2, at_y - height / 2, at_x + width / 2, at_y + height / 2)
            outside = width * height - _overlap(box, frame)
            cost = 4 * sum(_overlap(box, other) for other in placed) + sum(_overlap(box, other) for other in taken)
            cost += 8 * outside + 0.004 * number * width * height
            options.append((cost, (at_x, at_y), box))
        _, centre, box = min(options, key=lambda option: option[0])
        placed.append(box)
        centres.append(centre)
    return centres


_DIRECTIONS = [
    (right, up, far)
    for far in (1, 2.5, 4.5)
    for right, up in ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0


def far_edge(
    anchor: tuple[float, float, float], centre: tuple[float, float], size: tuple[float, float], gap: float
) -> tuple[float, float] | None:
    """Finds where a line from a point to its name ends.

    Args:
        anchor: (x, y, radius) of the point.
        centre: (x, y) of the name.
        size: (width, height) of the name.
        gap: the longest distance between the two that needs no line.

    Returns:
        The nearest point of the name's box, or None where none is needed.
    """
    nearest = [
        min(max(at, middle - length / 2), middle + length / 2)
        for at, middle, length in zip(anchor[:2], centre, size, strict=True)
    ]
    distance = math.hypot(nearest[0] - anchor[0], nearest[1] - anchor[1]) - anchor[2]
    return (nearest[0], nearest[1]) if distance > gap else None


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Moves numbers apart by as little as possible, keeping their order (pool adjacent violators).

    Args:
        positions: any numbers, in any order.
        gap: the least distance between two of the results.
        low: lower bound of the results.
        high: upper bound, kept where there is room.

    Returns:
        The moved numbers, in the order of the input.
    """
    order = sorted(range(len(positions)), key=lambda i: positions[i])
    blocks: list[tuple[float, int]] = []  # mean and count of neighbours that move together
    for rank, i in enumerate(order):
        mean, count = positions[i] - rank * gap, 1
        while blocks and blocks[-1][0] > mean:
            before, number = blocks.pop()
            mean, count = (before * number + mean * count) / (number + count), number + count
        blocks.append((mean, count))
    highest = max(low, high - (len(positions) - 1) * gap)
    means = [min(max(mean, low), highest) for mean, count in blocks for _ in range(count)]
    moved = {i: means[rank] + rank * gap for rank, i in enumerate(order)}
    return [moved[i] for i in range(len(positions))]


def shorten(text: str, size: float, width: float) -> str:
    """Cuts a text that is too wide, ending it with an ellipsis.

    Args:
        text: one line.
        size: of the font, in any unit of length.
        width: room for the text, in that unit.

    Returns:
        The text, or as much of it as fits.
    """
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, size: float, width: float) -> list[str]:
    """Breaks a text into lines that fit: at spaces, and a word that is too wide after its hyphens and slashes.

    Args:
        text: any text.
        size: of the font, in any unit of length.
        width: room for a line, in that unit; a part that is still too wide is cut.

    Returns:
        At least one line.
    """
    lines: list[str] = []
    for word in text.split():
        parts = [word] if text_width(word, size) <= width else re.split(r"(?<=[-/_])", word)
        for number, part in enumerate(parts):
            longer = f"{lines[-1]}{'' if number else ' '}{part}" if lines else part
            if lines and text_width(longer, size) <= width:
                lines[-1] = longer
            else:
                lines.append(part)
    return [shorten(line, size, width) for line in lines] or [""]
