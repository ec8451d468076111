"""What both drawings of a chart share: scales and ticks, numbers as text, colours by group."""

import dataclasses
import math
from collections.abc import Sequence

from lrjax.display.charts import OWN, Axis, Chart, Panel, ScaleName, Series

COLOURS = 10  # distinguishable colours; more groups start again with the first
OWN_COLOUR = 10  # one more, which only the group `OWN` has
MANY_LINES = 12  # lines in one panel from where on they are drawn thinner
MANY_PLACES = 20  # categories of a horizontal chart from where on they stand closer
MOST_VALUES = 8  # points of a line that are labelled with their values

_TRANSFORMS = {"linear": float, "log": math.log10, "log2": math.log2}
_SUFFIXES = ((1e9, "B"), (1e6, "M"), (1e3, "k"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """An axis with its limits and ticks settled.

    Attributes:
        kind: how values are spaced.
        low: the lower end, in the unit of the values.
        high: the upper end.
        ticks: (position, text), ascending, within the ends.
        named: whether the ticks are names of places, as opposed to numbers that were chosen here.
        whole: whether all values are whole numbers.
    """

    kind: ScaleName
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    named: bool
    whole: bool

    def fraction(self, value: float) -> float:
        """Tells how far along the axis a value is: 0 at the lower end, 1 at the upper one, nan for nan."""
        low, high, at = (math.nan if math.isnan(v) else _TRANSFORMS[self.kind](v) for v in (self.low, self.high, value))
        return (at - low) / (high - low)

    def text(self, value: float) -> str:
        """Writes a value with as many digits as can be told apart: 33.1 on an axis up to 100, 0.331 on one up to 1."""
        if self.kind != "linear" or abs(value) >= 1e4:
            return compact(value)
        span = self.high - self.low
        decimals = 0 if self.whole else 1 if span >= 20 else 2 if span >= 2 else 3
        return _fixed(value, decimals)

    def place(self, value: float) -> str | None:
        """Gives the text of the tick at a value on one line, or None where there is no such tick or it is a number."""
        names = [" ".join(text.split()) for at, text in self.ticks if math.isclose(at, value, abs_tol=1e-9)]
        return names[0] if self.named and names else None


def scales(chart: Chart) -> tuple[Scale, Scale]:
    """Settles the limits and ticks of both axes from the values of all panels.

    Args:
        chart: what is drawn.

    Returns:
        The horizontal and the vertical axis; in a horizontal chart the lower end of the vertical one is at the top.
    """
    ends = [value for series in chart.series for value in (*series.low, *series.high)]
    ends += [panel.level for panel in chart.panels if panel.level is not None]
    x = [value for series in chart.series for value in series.x]
    y = [value for series in chart.series for value in series.y]
    if chart.horizontal:
        positions = [*y, *chart.categories]
        limits = min(positions) - 0.6, max(positions) + 0.6
        return _scale(chart.x, x, ends), _scale(dataclasses.replace(chart.y, limits=limits), y, [])
    return _scale(chart.x, x, []), _scale(chart.y, y, ends)


def _scale(axis: Axis, values: Sequence[float], ends: Sequence[float]) -> Scale:
    shown = [value for value in values if not math.isnan(value)]
    shown += [value for value in ends if not math.isnan(value)]
    whole = all(value == round(value) for value in shown)
    low, high = _ends(axis, min(shown, default=1.0), max(shown, default=2.0))
    ticks = sorted(axis.ticks.items()) if axis.ticks is not None else _TICKS[axis.scale](low, high)
    margin = 1e-9 * (high - low)
    ticks = tuple((at, text) for at, text in ticks if low - margin <= at <= high + margin)
    return Scale(kind=axis.scale, low=low, high=high, ticks=ticks, named=axis.ticks is not None, whole=whole)


def _ends(axis: Axis, low: float, high: float) -> tuple[float, float]:
    if axis.limits is not None:
        least, most = axis.limits
    elif axis.scale != "linear":
        pad = (high / low) ** 0.05 if high > low else 1.5
        least, most = low / pad, high * pad
    elif low == high:
        least, most = low - (abs(low) / 2 or 1), high + (abs(high) / 2 or 1)
    elif axis.ticks is not None:
        pad = 0.06 * (high - low)
        least, most = low - pad, high + pad
    else:  # the ratio of two values is seen where an axis begins at 0
        least, most = (0.0 if 0 <= low < 0.4 * high else math.inf), -math.inf
    bottom, top = min(low, least), max(high, most)
    if axis.scale == "linear" and axis.ticks is None:  # an end that the values give is a tick
        step = _nice((top - bottom) / 5)
        bottom = step * math.floor(bottom / step + 1e-9) if low < least else bottom
        top = step * math.ceil(top / step - 1e-9) if high > most else top
    return bottom, top


def _nice(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return power * next(nice for nice in (1, 2, 5, 10) if step <= nice * power * (1 + 1e-9))


def _linear_ticks(low: float, high: float) -> list[tuple[float, str]]:
    step = _nice((high - low) / 5)
    decimals = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    found = [round(k * step, 12) for k in range(first, last + 1)]
    return [(value, compact(value) if step >= 1e4 else _fixed(value, decimals)) for value in found]


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas, every in (((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3)):
        found = [m * 10.0**decade for decade in decades if decade % every == 0 for m in mantissas]
        found = [value for value in found if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if len(found) <= 7:
            break
    return [(value, compact(value)) for value in found] if len(found) > 1 else _linear_ticks(low, high)


def _log2_ticks(low: float, high: float) -> list[tuple[float, str]]:
    first, last = math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9)
    every = math.ceil((last - first + 1) / 8) or 1
    return [(2.0**power, f"{2.0**power:g}") for power in range(first, last + 1, every)]


_TICKS = {"linear": _linear_ticks, "log": _log_ticks, "log2": _log2_ticks}


def _fixed(value: float, decimals: int) -> str:
    text = f"{value:,.{decimals}f}"
    return f"\N{MINUS SIGN}{text[1:]}" if text.startswith("-") and float(text.replace(",", "")) else text.lstrip("-")


def compact(value: float) -> str:
    """Writes a number with three digits and, from ten thousand on, a letter for its size: 149600000 is 150M."""
    unit, suffix = next(((u, s) for u, s in _SUFFIXES if abs(value) >= max(u, 1e4)), (1.0, ""))
    scaled = float(f"{value / unit:.3g}")
    return (f"{scaled:,.0f}" if abs(scaled) >= 1000 else f"{scaled:g}").replace("-", "\N{MINUS SIGN}") + suffix


def group_numbers(chart: Chart) -> dict[str, int]:
    """Numbers the groups of a chart in the order of their colours.

    Args:
        chart: what is drawn.

    Returns:
        Number from 0 by group: first those that the chart orders, then the others as they appear; `OWN` is last.
    """
    names = dict.fromkeys([*chart.groups, *(series.colour_group for series in chart.series)])
    others = [name for name in names if name != OWN]
    return {name: number % COLOURS for number, name in enumerate(others)} | dict.fromkeys({OWN} & {*names}, OWN_COLOUR)


def legend_groups(chart: Chart) -> list[str]:
    """Lists the groups that a legend has to name.

    Args:
        chart: what is drawn.

    Returns:
        The groups that appear, in the order of their colours; none where the title of each panel names its only group.
    """
    if all({series.colour_group for series in panel.series} == {panel.title} for panel in chart.panels):
        return []
    present = {series.colour_group for series in chart.series}
    return [name for name in group_numbers(chart) if name in present]


def legend_marker(chart: Chart, group: str) -> str:
    """Gives the marker that stands for a group in a legend: that of the first of its series that has one, or ""."""
    return next((series.marker for series in chart.series if series.colour_group == group and series.marker), "")


def level_names(chart: Chart) -> list[str]:
    """Lists what the dashed level lines are called, without repetition."""
    return list(
        dict.fromkeys(panel.level_name for panel in chart.panels if panel.level is not None and panel.level_name)
    )


def by_depth(panel: Panel) -> list[Series]:
    """Sorts the series of a panel from back to front.

    Args:
        panel: one panel.

    Returns:
        Its series: faint ones first and strong ones last; among equals those with names last, large points first.
    """
    depth = {"faint": 0, "normal": 1, "strong": 2}
    return sorted(panel.series, key=lambda one: (depth[one.emphasis], one.annotate, -max(one.sizes, default=0)))


def is_crowded(panel: Panel) -> bool:
    """Tells whether a panel has so many lines that they are drawn thinner."""
    return sum(series.line for series in panel.series) > MANY_LINES


def is_dense(chart: Chart) -> bool:
    """Tells whether a horizontal chart has so many categories that they stand closer, with smaller points."""
    return chart.horizontal and len(chart.categories) > MANY_PLACES


def largest_size(chart: Chart) -> float:
    """Gives the largest marker area of a chart, to which the others are relative; 1 where none is given."""
    return max((size for series in chart.series for size in series.sizes), default=1.0)


def hover_texts(chart: Chart, series: Series, x: Scale, y: Scale) -> list[str]:
    """Writes what is told about each point.

    Args:
        chart: what is drawn.
        series: one of its series.
        x: its horizontal axis.
        y: its vertical axis.

    Returns:
        One text per point, the name on the first line.
    """
    if series.labels:
        return list(series.labels)
    where, values = (y, x) if chart.horizontal else (x, y)
    points = zip(series.y, series.x, strict=True) if chart.horizontal else zip(series.x, series.y, strict=True)
    label, place_label = chart.value_axis.label, (chart.y if chart.horizontal else chart.x).label
    texts = []
    for index, (at, value) in enumerate(points):
        text = values.text(value)
        if series.low and not math.isnan(series.low[index]):
            text += f" ({values.text(series.low[index])} to {values.text(series.high[index])})"
        place = where.place(at)
        lines = [f"{place}: {text}"] if place else [_labelled(place_label, where.text(at)), _labelled(label, text)]
        texts.append("\n".join([series.name, *lines]))
    return texts


def _labelled(label: str, text: str) -> str:
    return f"{label}: {text}" if label else text


def valued(chart: Chart) -> bool:
    """Tells whether there is room to print the values beside the points: one panel with one or two short lines."""
    return (
        len(chart.panels) == 1
        and not chart.horizontal
        and len(chart.series) <= 2
        and all(
            series.line and series.marker and len(series.x) <= MOST_VALUES and not series.annotate and not series.low
            for series in chart.series
        )
    )


def value_is_above(panel: Panel, series: Series, index: int) -> bool:
    """Tells on which side of a point its value goes: the higher of two lines is labelled above, the lower below."""
    rivals = [
        y
        for other in panel.series
        for x, y in zip(other.x, other.y, strict=True)
        if other is not series and x == series.x[index] and not math.isnan(y)
    ]
    value = series.y[index]
    return not rivals or value > rivals[0] or (value == rivals[0] and series is panel.series[0])
