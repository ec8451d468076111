"""What a chart shows, apart from how it is drawn: `charts.png.draw` makes a PNG file, `charts.svg.draw` HTML."""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol, get_args

from lrjax.errors import UserError

OWN = "your run"
"""The group of the user's own runs, which has a colour of its own."""

Marker = Literal["circle", "star", "square", "diamond", ""]
Emphasis = Literal["normal", "strong", "faint"]
ScaleName = Literal["linear", "log", "log2"]


class Numbers(Protocol):
    """A sequence of numbers, or an array with one axis; what describes a chart needs no NumPy."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[float]: ...

    def __getitem__(self, index: int, /) -> float: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Series:
    """Points with one name and one colour, joined by a line or not.

    Attributes:
        name: what is shown on hover and, without a group, in the legend; not empty.
        x: position along the horizontal axis, at least one; nan leaves a gap.
        y: position along the vertical axis, as many; nan leaves a gap in the line, and no point.
        group: what gives the colour and the line of the legend; default the name.
        line: whether the points are joined.
        marker: the shape of the points; "" draws none.
        labels: text on hover, one per point; default the name, the place on the x axis and the value.
        sizes: marker areas relative to each other (over the whole chart), one per point, above 0; default all equal.
        low: lower ends of the intervals, one per point, along the value axis; nan draws none.
        high: upper ends, as many.
        emphasis: "strong" is bold and on top; "faint" is thin and behind.
        dashed: whether the line is dashed.
        annotate: whether to print names beside the points: the first line of each label, or the name; a name that
            would stand at every point of a line stands at its end only.

    Raises:
        UserError: lengths differ, a value is infinite, a size is not above 0, or a word is unknown.
    """

    name: str
    x: Numbers
    y: Numbers
    group: str = ""
    line: bool = True
    marker: Marker = "circle"
    labels: Sequence[str] = ()
    sizes: Numbers = ()
    low: Numbers = ()
    high: Numbers = ()
    emphasis: Emphasis = "normal"
    dashed: bool = False
    annotate: bool = False

    def __post_init__(self):
        if not self.name:
            raise UserError("a series has no name; give each series a name")
        what = f"series {self.name!r}"
        for field in ("x", "y", "sizes", "low", "high"):
            object.__setattr__(self, field, tuple(float(value) for value in getattr(self, field)))
        object.__setattr__(self, "labels", tuple(self.labels))
        if not self.x:
            raise UserError(f"{what} has no points; leave it out, or give it at least one")
        for field in ("y", "labels", "sizes", "low", "high"):
            length = len(getattr(self, field))
            if length != len(self.x) and (length or field == "y"):
                raise UserError(f"{what} has {len(self.x)} x but {length} {field}; give one per point")
        if bool(self.low) != bool(self.high):
            raise UserError(f"{what} has only one end of its intervals; give both low and high, or neither")
        for field in ("x", "y", "sizes", "low", "high"):
            if any(math.isinf(value) for value in getattr(self, field)):
                raise UserError(f"{what} has an infinite value in {field}; use nan for what is missing")
        for low, high in zip(self.low, self.high, strict=True):
            if low > high:
                raise UserError(f"{what} has an interval from {low:g} to {high:g}; give the lower end as low")
        if not all(size > 0 for size in self.sizes):
            raise UserError(f"{what} has a marker size that is not above 0; sizes are areas")
        _check_word(f"marker of {what}", self.marker, get_args(Marker))
        _check_word(f"emphasis of {what}", self.emphasis, get_args(Emphasis))

    @property
    def colour_group(self) -> str:
        """The group, or the name where there is none."""
        return self.group or self.name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One set of axes.

    Attributes:
        title: the text above it; may be empty.
        series: what is drawn, at least one.
        level: a value of the value axis that a dashed line marks, e.g. the accuracy of guessing.
        level_name: how the legend calls that line; "" leaves it out of the legend.

    Raises:
        UserError: there is no series, or the level is not finite.
    """

    title: str
    series: Sequence[Series]
    level: float | None = None
    level_name: str = ""

    def __post_init__(self):
        object.__setattr__(self, "series", tuple(self.series))
        if not self.series:
            raise UserError(f"panel {self.title!r} has no series; leave it out, or give it at least one")
        if self.level is not None and not math.isfinite(self.level):
            raise UserError(f"panel {self.title!r} has the level {self.level}; give a finite number or None")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """An axis that all panels share.

    Attributes:
        label: what it shows, with the unit; may be empty.
        scale: how values are spaced.
        ticks: text by position; a newline starts a second line. Default: chosen from the values.
        limits: the least that the axis spans, lower end first; values beyond widen it. Default: what holds the values.

    Raises:
        UserError: the scale is unknown, the limits or ticks do not fit it, or the limits are not ascending.
    """

    label: str
    scale: ScaleName = "linear"
    ticks: Mapping[float, str] | None = None
    limits: tuple[float, float] | None = None

    def __post_init__(self):
        what = f"axis {self.label!r}"
        _check_word(f"scale of {what}", self.scale, get_args(ScaleName))
        if self.ticks is not None and not self.ticks:
            raise UserError(f"{what} has no ticks; give at least one, or None to have them chosen")
        numbers = [*(self.ticks or ()), *(self.limits or ())]
        if not all(math.isfinite(number) for number in numbers):
            raise UserError(f"{what} has a tick or limit that is not finite; give numbers")
        if self.limits is not None and not self.limits[0] < self.limits[1]:
            raise UserError(f"{what} has the limits {self.limits}; give the lower end first")
        self.check(numbers, f"{what} has a tick or limit")

    def check(self, values: Iterable[float], what: str) -> None:
        """Checks that the values have a place on the axis.

        Args:
            values: positions; nan has none and passes.
            what: how the message begins, with a verb.

        Raises:
            UserError: the scale is logarithmic and a value is not above 0.
        """
        wrong = next((value for value in values if value <= 0), None) if self.scale != "linear" else None
        if wrong is not None:
            raise UserError(f"{what} at {wrong:g}, which a {self.scale} scale cannot show; use nan or a linear scale")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture of one or more panels with common axes.

    Attributes:
        name: stem of its file and part of its HTML id; lower-case letters, digits and hyphens.
        title: the text above it.
        panels: at least one.
        x: the horizontal axis.
        y: the vertical axis.
        alt: one sentence that says what is seen.
        columns: panels side by side in a PNG, at most; a page wraps them as there is room.
        groups: order of the groups, which gives their colours; those that are not named follow as they appear.
        horizontal: whether values run along x, with their intervals and levels, and y has categories: `y.ticks` names
            them, each series has its values in `x` and the positions of the categories in `y`, the lowest at the top.

    Raises:
        UserError: the name does not fit, there is no panel, a group is named twice, a value has no place on its axis,
            or a horizontal chart lacks categories.
    """

    name: str
    title: str
    panels: Sequence[Panel]
    x: Axis
    y: Axis
    alt: str
    columns: int = 5
    groups: Sequence[str] = ()
    horizontal: bool = False

    def __post_init__(self):
        what = f"chart {self.name!r}"
        object.__setattr__(self, "panels", tuple(self.panels))
        object.__setattr__(self, "groups", tuple(self.groups))
        if not re.fullmatch("[a-z0-9-]+", self.name):
            raise UserError(f"{what} has a name with other than lower-case letters, digits and hyphens; rename it")
        if not self.panels:
            raise UserError(f"{what} has no panels; give it at least one")
        if self.columns < 1:
            raise UserError(f"{what} has {self.columns} columns; give at least 1")
        if len(set(self.groups)) != len(self.groups):
            raise UserError(f"{what} names a group twice; name each once")
        if self.horizontal and (self.y.ticks is None or self.y.scale != "linear"):
            raise UserError(f"{what} is horizontal without categories; give y.ticks on a linear scale")
        for panel in self.panels:
            for series in panel.series:
                for field, axis in (("x", self.x), ("y", self.y)):
                    axis.check(getattr(series, field), f"{what}: series {series.name!r} has {field}")
                for field in ("low", "high"):
                    self.value_axis.check(getattr(series, field), f"{what}: series {series.name!r} has {field}")
            if panel.level is not None:
                self.value_axis.check([panel.level], f"{what}: panel {panel.title!r} has its level")

    @property
    def categories(self) -> Mapping[float, str]:
        """Text by position along the vertical axis; of a horizontal chart."""
        return self.y.ticks or {}

    @property
    def value_axis(self) -> Axis:
        """The axis along which intervals and levels are measured."""
        return self.x if self.horizontal else self.y

    @property
    def series(self) -> tuple[Series, ...]:
        """The series of all panels."""
        return tuple(series for panel in self.panels for series in panel.series)


def _check_word(what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise UserError(f"{what} is {word!r}; use one of {', '.join(map(repr, known))}")
