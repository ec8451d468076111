"""What the charts of the studies have in common: scores in percent, names, groups of colours."""

from collections.abc import Mapping, Sequence

import numpy as np

from lrjax.charts import OWN, Axis, Chart, Panel, Series
from lrjax.leaderboard import Leaderboard

_HIGH_POSITION = 256
"""Where "hr" stands on an axis of resolutions: one step beyond 128; the input sizes themselves differ."""


def percent(board: Leaderboard, metric: str, resolution: int | str) -> np.ndarray:
    """Returns the scores of the entries in percent, [M]."""
    return 100 * board.score(metric, resolution)


def shown(resolution: int | str) -> str:
    """Returns a resolution as it is printed, for instance "16" or "HR"."""
    return str(resolution).upper()


def place(resolution: int | str) -> int:
    """Returns the place of a resolution on an axis."""
    return _HIGH_POSITION if isinstance(resolution, str) else resolution


def resolution_axis(board: Leaderboard) -> Axis:
    """Returns the axis of all resolutions."""
    ticks = {float(place(resolution)): shown(resolution) for resolution in board.resolutions}
    return Axis(label="resolution, pixels", scale="log2", ticks=ticks)


def low_resolutions(board: Leaderboard) -> list[int]:
    """Returns the resolutions in pixels, without "hr"."""
    return [resolution for resolution in board.resolutions if isinstance(resolution, int)]


def groups(board: Leaderboard) -> tuple[str, ...]:
    """Returns the groups in an order that gives each family the same colour in all charts."""
    return (*board.published.families, OWN)


def dots(
    *,
    name: str,
    title: str,
    alt: str,
    label: str,
    categories: Sequence[str],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    level: float | None = None,
    columns: int = 4,
    decimals: int = 1,
) -> Chart:
    """Describes a chart of categories, one line each, with one point per quantity.

    Args:
        name: see `Chart`.
        title: see `Chart`.
        alt: see `Chart`.
        label: of the value axis.
        categories: C texts, the first at the top.
        panels: title to quantity to values, [C], nan for no point.
        level: a value to mark.
        columns: panels side by side.
        decimals: of the values on hover.
    """
    markers = ("circle", "diamond", "square", "star")
    described = []
    for heading, quantities in panels.items():
        series = []
        for number, (quantity, values) in enumerate(quantities.items()):
            shift = 0.22 * (number - (len(quantities) - 1) / 2)  # equal values do not hide each other
            texts = [
                f"{name}\n{quantity}: {value:.{decimals}f}" for name, value in zip(categories, values, strict=True)
            ]
            series.append(
                Series(
                    name=quantity,
                    x=values,
                    y=[line + shift for line in range(len(categories))],
                    line=False,
                    marker=markers[number % len(markers)],
                    labels=texts,
                )
            )
        described.append(Panel(title=heading, series=series, level=level))
    return Chart(
        name=name,
        title=title,
        alt=alt,
        panels=described,
        x=Axis(label=label),
        y=Axis(label="", ticks=dict(enumerate(categories))),
        columns=columns,
        horizontal=True,
    )
