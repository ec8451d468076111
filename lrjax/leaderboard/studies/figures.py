"""What the charts of the studies have in common: scores in percent, names, groups of colours."""

from collections.abc import Mapping, Sequence

import numpy as np

from lrjax.display.charts import OWN, Axis, Chart, Numbers, Panel, Series
from lrjax.leaderboard.board import Leaderboard

_TITLES = {
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


def percent(board: Leaderboard, metric: str, resolution: int | str) -> np.ndarray:
    """Returns the scores of the entries in percent, [M]."""
    return 100 * board.score(metric, resolution)


def shown(resolution: int | str) -> str:
    """Returns a resolution as it is printed, for instance "16" or "HR"."""
    return str(resolution).upper()


def number(value: float, decimals: int = 2) -> str:
    """Returns a number as text reads it: a minus sign and not a hyphen, and none before a zero."""
    return f"{value:z.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def dataset_title(name: str) -> str:
    """Returns the usual spelling of the name of a data set."""
    return _TITLES.get(name, name)


def resolution_positions(board: Leaderboard) -> list[float]:
    """Returns the places of the resolutions on their axis; "hr" stands one step behind the others.

    The input sizes, for which "hr" stands, differ between models.
    """
    sizes = [one for one in board.resolutions if isinstance(one, int)]
    return [float(one if isinstance(one, int) else 2 * max(sizes, default=1)) for one in board.resolutions]


def resolution_axis(board: Leaderboard) -> Axis:
    """Returns the horizontal axis of a chart against resolution."""
    ticks = {at: shown(one) for at, one in zip(resolution_positions(board), board.resolutions, strict=True)}
    return Axis(label="image side in pixels", scale="log2", ticks=ticks)


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
    panels: Mapping[str, Mapping[str, Numbers]],
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
        for place, (quantity, values) in enumerate(quantities.items()):
            shift = 0.22 * (place - (len(quantities) - 1) / 2)  # equal values do not hide each other
            texts = [
                f"{category}\n{quantity}: {number(value, decimals)}"
                for category, value in zip(categories, values, strict=True)
            ]
            series.append(
                Series(
                    name=quantity,
                    x=values,
                    y=[line + shift for line in range(len(categories))],
                    line=False,
                    marker=markers[place % len(markers)],
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
