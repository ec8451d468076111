"""The chart of own runs by data set: differences where there is something to compare, else accuracies."""

import math
from collections.abc import Mapping, Sequence

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.studies.figures import dataset_title, number
from lrjax.metrics.intervals import Bounds
from lrjax.report.headline import Comparison, comparisons, resolution_label

_Found = Mapping[int, tuple[float, Bounds | None]]
"""A fraction with its interval, by the position of the data set."""


def by_dataset_chart(replicates: Replicates) -> Chart | None:
    """Draws what tells data sets apart, with intervals.

    Args:
        replicates: of the results.

    Returns:
        How far each variant is above its unmodified model, or each model above the first, at the lowest resolution of
        both; None where they have none in common. Of a model alone its accuracies there and at its own resolution.
    """
    results = replicates.results
    if not (pairs := comparisons(results)):
        shown = (results.resolutions[0], results.resolutions[-1])
        drawn = {f"at {_pixels(at)}": _accuracies(replicates, at) for at in shown}
        return _dots("Top-1 accuracy by data set", "percent", results.datasets, drawn, limits=(0, 100))
    both = {
        at: [one for one in pairs if all(results.accuracies(*each, at) for each in (one.one, one.other))]
        for at in results.resolutions
    }
    lowest = next((at for at in results.resolutions if both[at]), None)
    if lowest is None:
        return None
    drawn = {
        f"{one.name} against {one.against}": {
            place: _difference(replicates, one, dataset, lowest) for place, dataset in enumerate(results.datasets)
        }
        for one in both[lowest]
    }
    title = f"Difference of top-1 accuracy by data set at {_pixels(lowest)}"
    return _dots(title, "points", results.datasets, drawn, level=0)


def _difference(
    replicates: Replicates, pair: Comparison, dataset: str, resolution: int | str
) -> tuple[float, Bounds | None]:
    exact = replicates.difference(pair.one, pair.other, dataset, resolution)
    one, other = (replicates.results.row(*each, dataset, resolution).value for each in (pair.one, pair.other))
    return (one - other, None) if exact is None else exact


def _accuracies(replicates: Replicates, resolution: int | str) -> _Found:
    results = replicates.results
    ((model, (variant,)),) = results.variants.items()
    cells = [(model, variant, name, resolution) for name in results.datasets]
    return {place: (results.row(*cell).value, replicates.accuracy_bounds(*cell)) for place, cell in enumerate(cells)}


def _dots(
    title: str,
    unit: str,
    datasets: Sequence[str],
    drawn: Mapping[str, _Found],
    *,
    limits: tuple[float, float] | None = None,
    level: float | None = None,
) -> Chart:
    """Values by data set; those of one data set stand a little apart."""
    step = min(0.2, 0.7 / len(drawn))
    series = []
    for line, (name, found) in enumerate(drawn.items()):
        low, high = ends([bounds for _, bounds in found.values()])
        series.append(
            Series(
                name=name,
                x=[100 * value for value, _ in found.values()],
                y=[place + step * (line - (len(drawn) - 1) / 2) for place in found],
                low=low,
                high=high,
                line=False,
                labels=[f"{name}\n{dataset_title(datasets[at])}: {_shown(*one)}" for at, one in found.items()],
            )
        )
    return Chart(
        name="by-dataset",
        title=title,
        panels=[Panel(title="", series=series, level=level, level_name="" if level is None else "no difference")],
        x=Axis(label=unit, limits=limits),
        y=Axis(label="", ticks={float(place): dataset_title(name) for place, name in enumerate(datasets)}),
        alt=f"{title}, in {unit}: {', '.join(drawn)}.",
        columns=1,
        horizontal=True,
    )


def ends(bounds: Sequence[Bounds | None]) -> tuple[list[float], list[float]]:
    """Returns both ends of intervals in percent, nan where one is not known; nothing where none is."""
    if not any(bounds):
        return [], []
    low, high = ([math.nan if one is None else 100 * one[side] for one in bounds] for side in (0, 1))
    return low, high


def _shown(value: float, bounds: Bounds | None) -> str:
    text = number(100 * value, 1)
    return text if bounds is None else f"{text} [{', '.join(number(100 * one, 1) for one in bounds)}]"


def _pixels(resolution: int | str) -> str:
    return f"{resolution} px" if isinstance(resolution, int) else resolution_label(resolution)
