"""What all pages of the report share: names of files, how numbers are shown, scores that are computed once."""

import functools
import math
import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from lrjax.data.published import DATASETS
from lrjax.display.charts import OWN
from lrjax.display.tables import Cell, Table
from lrjax.display.tables import shown as cell_text
from lrjax.leaderboard.board import METRICS, Entry, Leaderboard
from lrjax.leaderboard.scores import weighing
from lrjax.leaderboard.studies.figures import dataset_title, number, shown
from lrjax.metrics.robustness import PAPER_WEIGHTS

DASH = "\N{EN DASH}"


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
    def relative(self) -> Float64[np.ndarray, "M D"]:
        """Relative robustness at the lowest resolution."""
        return self.board.relative(self.lowest)

    @functools.cached_property
    def improved(self) -> Float64[np.ndarray, "M D"]:
        """Improved robustness at the lowest resolution."""
        return self.board.improved(self.lowest)

    @functools.cached_property
    def _published(self) -> list[int]:
        return [n for n, entry in enumerate(self.board.entries) if not entry.own] or [*range(len(self.board.entries))]

    @functools.cached_property
    def accuracy_quartiles(self) -> Float64[np.ndarray, "3 D R"]:
        """Quartiles over published models of accuracy."""
        return np.nanpercentile(self.board.top1[self._published], [25, 50, 75], axis=0)

    @functools.cached_property
    def quartiles(self) -> Float64[np.ndarray, "3 D"]:
        """Quartiles over published models of relative robustness at the lowest resolution."""
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
        """Returns how many entries have a rank by this score."""
        return int(np.isfinite(self._scores[metric, resolution][1]).sum())

    @functools.cached_property
    def _accuracy_ranks(self) -> Float64[np.ndarray, "M D"]:
        incomplete = [[name in dict(entry.incomplete) for name in self.board.datasets] for entry in self.board.entries]
        lowest = np.where(incomplete, np.nan, self.board.accuracy(self.lowest))
        better = (lowest[None] > lowest[:, None]).sum(axis=1)
        return np.where(np.isnan(lowest), np.nan, 1.0 + better)

    def accuracy_rank(self, number: int, column: int) -> int | None:
        """Returns the rank of an entry by accuracy on a data set at the lowest resolution.

        It is None without accuracy, and on fewer images than the data set has.
        """
        rank = self._accuracy_ranks[number, column]
        return None if np.isnan(rank) else int(rank)

    @functools.cached_property
    def notes(self) -> list[str]:
        """What own runs did not see and which scores they do not have, as sentences."""
        return [sentence for number in range(len(self.board.entries)) for sentence in self.board.notes(number)]

    @functools.cached_property
    def coverage(self) -> str:
        """What the scores leave out, as a sentence; "" where they are over all data sets."""
        names = self.board.datasets
        if not self.board.note:
            return ""
        return f"Scores are over {len(names)} of the {len(DATASETS)} data sets: {', '.join(map(dataset_title, names))}."

    @functools.cached_property
    def weighting(self) -> str:
        """How WAR weighs the data sets where that is not the paper's way, as a sentence; else ""."""
        names, weights = self.board.datasets, self.board.weights
        if len(names) == 1 or all(weights[name] == PAPER_WEIGHTS.get(name) for name in names):
            return ""
        titles = {dataset_title(name): weights[name] for name in names}  # no key of the paper's weights
        clause = weighing(titles, list(titles))
        return clause + (", not by the weights of the paper." if "paper" not in clause else ".")


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


def pixels(resolution: int | str) -> str:
    """Returns a resolution as running text has it: "16 px", "HR"."""
    return f"{resolution} px" if isinstance(resolution, int) else shown(resolution)


def percent(value: float) -> str:
    """Returns a fraction in percent with one decimal, a dash for nan."""
    return DASH if math.isnan(value) else number(100 * value, 1)


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


def cell(value: Cell) -> str:
    """Returns a cell of a table that is not a name: with minus signs for hyphens before numbers, and none before 0."""
    text = re.sub(r"(?<![\w.)-])-(?=\d)", "\N{MINUS SIGN}", cell_text(value))
    return re.sub(r"\N{MINUS SIGN}(?=0(\.0+)?(?![\d.]))", "", text)


def label_widths(table: Table) -> list[int]:
    """Returns how many letters the longest name has in each of the columns that name the lines of a table."""
    columns = [[dataset_title(cell_text(row[column])) for row in table.rows] for column in range(table.labels)]
    return [max(map(len, names), default=0) for names in columns]


def keep_units(text: str) -> str:
    """Returns a text of HTML in which no line ends between a number and its percent sign."""
    return re.sub(r"(?<=\d) (?=%)", "\N{NO-BREAK SPACE}", text)


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
