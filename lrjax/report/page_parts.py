"""What all pages of the report share: names of files, how numbers are shown, scores that are computed once."""

import functools
import math
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from lrjax.charts import OWN, Axis
from lrjax.leaderboard import METRICS, Entry, Leaderboard

"""The group of the own runs in legends and filters; the groups of the others are their families."""

DASH = "\N{EN DASH}"
DATASET_TITLES = {
    "imagenet": "ImageNet",
    "imagenet_a": "ImageNet-A",
    "imagenet_v2": "ImageNet-V2",
    "imagenet_r": "ImageNet-R",
    "imagenet_sketch": "ImageNet-Sketch",
    "caltech101": "Caltech101",
    "dtd": "DTD",
    "food101": "Food-101",
    "sun397": "SUN397",
    "cars": "Stanford Cars",
    "aircraft": "FGVC Aircraft",
    "pets": "Oxford Pets",
    "flowers102": "Flowers102",
    "eurosat": "EuroSAT",
    "ucf101": "UCF101",
}


class Score(NamedTuple):
    """A value in a table, and how many entries have a better one."""

    value: float
    rank: int | None


class Site:
    """A leaderboard with the addresses of its pages.

    Args:
        board: the leaderboard.
    """

    def __init__(self, board: Leaderboard):
        self.board = board
        self.lowest = board.resolutions[0]
        self.slugs = unique_slugs(board.names)
        self.groups = (*sorted({e.family for e in board.entries if not e.own}, key=str.lower), *self._own_group())
        self._scores = {
            (metric, resolution): (board.score(metric, resolution), board.ranks(metric, resolution))
            for metric in METRICS
            for resolution in board.resolutions
        }

    def _own_group(self) -> tuple[str, ...]:
        return (OWN,) if any(entry.own for entry in self.board.entries) else ()

    @functools.cached_property
    def order(self) -> list[int]:
        """Numbers of the entries by WAR at the lowest resolution, the best first."""
        return self.board.order("war", self.lowest)

    @functools.cached_property
    def relative(self) -> np.ndarray:
        """Relative robustness at the lowest resolution, [M, D]."""
        return self.board.relative(self.lowest)

    @functools.cached_property
    def improved(self) -> np.ndarray:
        """Improved robustness at the lowest resolution, [M, D]."""
        return self.board.improved(self.lowest)

    @functools.cached_property
    def _published(self) -> list[int]:
        return [n for n, entry in enumerate(self.board.entries) if not entry.own] or [*range(len(self.board.entries))]

    @functools.cached_property
    def accuracy_quartiles(self) -> np.ndarray:
        """Quartiles over published models of accuracy, [3, D, R]."""
        return np.nanpercentile(self.board.top1[self._published], [25, 50, 75], axis=0)

    @functools.cached_property
    def quartiles(self) -> np.ndarray:
        """Quartiles over published models of relative robustness at the lowest resolution, [3, D]."""
        return np.nanpercentile(self.relative[self._published], [25, 50, 75], axis=0)

    @functools.cached_property
    def links(self) -> dict[str, str]:
        """Address of the page of every entry, from the top folder, by its name."""
        return {name: f"models/{slug}.html" for name, slug in zip(self.board.names, self.slugs, strict=True)}

    def score(self, number: int, metric: str, resolution: int | str) -> Score:
        """Returns a score of an entry with its rank among all."""
        scores, ranks = self._scores[metric, resolution]
        return Score(float(scores[number]), None if math.isnan(ranks[number]) else int(ranks[number]))

    def ranked(self, metric: str, resolution: int | str) -> int:
        """Returns how many entries have this score."""
        return int(np.isfinite(self._scores[metric, resolution][0]).sum())

    def resolution_axis(self) -> Axis:
        """Returns the horizontal axis of accuracy against resolution."""
        positions = self.resolution_positions()
        ticks = {x: label(one) for x, one in zip(positions, self.board.resolutions, strict=True)}
        return Axis(label="image side in pixels", scale="log2", ticks=ticks)

    def resolution_positions(self) -> list[float]:
        """Returns the places of the resolutions along that axis; "hr" stands one step behind the others."""
        sizes = [one for one in self.board.resolutions if isinstance(one, int)]
        return [float(one if isinstance(one, int) else 2 * max(sizes, default=1)) for one in self.board.resolutions]


def group(entry: Entry) -> str:
    """Returns what an entry is coloured and filtered by."""
    return OWN if entry.own else entry.family


def unique_slugs(names: Sequence[str]) -> list[str]:
    """Returns file name stems of lower-case letters, digits and hyphens, different for different names."""
    taken: set[str] = set()
    slugs = []
    for name in names:
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower().replace("+", "-plus")).strip("-")[:80] or "model"
        slug, count = stem, 1
        while slug in taken:
            count += 1
            slug = f"{stem}-{count}"
        taken.add(slug)
        slugs.append(slug)
    return slugs


def label(resolution: int | str) -> str:
    """Returns a resolution as columns are headed: "16", "HR"."""
    return resolution.upper() if isinstance(resolution, str) else str(resolution)


def pixels(resolution: int | str) -> str:
    """Returns a resolution as running text has it: "16 px", "HR"."""
    return f"{resolution} px" if isinstance(resolution, int) else label(resolution)


def percent(value: float) -> str:
    """Returns a fraction in percent with one decimal, a dash for nan."""
    return DASH if math.isnan(value) else f"{100 * value:.1f}"


def plain(value: float | None) -> str:
    """Returns a value for sorting, nothing where it is missing."""
    return "" if value is None or math.isnan(value) else f"{value:.9g}"


def magnitude(value: float | None) -> str:
    """Returns a count with a letter for its size: "149.7M", "8.2B"."""
    if value is None:
        return DASH
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "K")):
        if value >= size:
            return f"{value / size:.1f}{letter}"
    return f"{value:g}"


def gigaflops(value: float | None) -> str:
    """Returns GFLOPs with one decimal, or none from a thousand on."""
    if value is None:
        return DASH
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.1f}"


def quantity(value: float) -> str:
    """Returns a number of unknown size: two decimals below ten, and never a zero that is none."""
    if math.isnan(value):
        return DASH
    if value == int(value) and abs(value) >= 10:
        return f"{value:,.0f}"
    text = f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}" if abs(value) >= 0.005 else f"{value:.1g}"
    return text.replace("-", "\N{MINUS SIGN}")


def breakable(text: str) -> str:
    """Returns a text as HTML that may be broken after slashes, plus signs, underscores, colons and at signs."""
    return "<wbr>".join(escape(part) for part in re.split(r"(?<=[/+_:@])", text) if part)


def dataset_title(name: str) -> str:
    """Returns the usual spelling of the name of a data set."""
    return DATASET_TITLES.get(name, name)


def sparkline(values: Sequence[float], size: tuple[int, int], top: float, *, backwards: bool = False) -> str:
    """Returns the points of a line through values at equal distances.

    Args:
        values: at least 0; nan is passed over.
        size: width and height of the picture.
        top: the value at its upper edge.
        backwards: whether the line runs from right to left.
    """
    width, height = size
    step = (width - 2) / max(len(values) - 1, 1)
    scale = (height - 3) / (top or 1)
    found = [f"{1 + step * i:.4g},{height - 1.5 - scale * v:.4g}" for i, v in enumerate(values) if not math.isnan(v)]
    return " ".join(reversed(found) if backwards else found)
