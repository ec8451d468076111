"""The charts of the user's own runs: accuracy against resolution, by model and by data set."""

import re
from collections.abc import Sequence

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import MARK
from lrjax.leaderboard.scores import HIGH_RESOLUTION, Results
from lrjax.metrics import robustness
from lrjax.report.dataset_chart import by_dataset_chart, ends


def run_charts(replicates: Replicates) -> dict[str, Chart]:
    """Returns the charts of own runs: mean accuracy of every model, what differs by data set, accuracies by data set.

    Args:
        replicates: of the results, for their intervals.

    Returns:
        Charts by file name without suffix: accuracy, by_dataset and datasets_<model>.
    """
    results = replicates.results
    title = f"Mean top-1 accuracy over {len(results.datasets)} data sets{_mark(results, *results.variants)}"
    models = [(model, model, results.datasets) for model in results.variants]
    charts = {"accuracy": _chart("accuracy", title, replicates, models, columns=4)}
    if (by_dataset := by_dataset_chart(replicates)) is not None:
        charts["by_dataset"] = by_dataset
    for number, model in enumerate(results.variants, start=1):
        stem = re.sub(r"[^A-Za-z0-9._-]+", "-", model).strip("-")[:80] or "model"
        while f"datasets_{stem}" in charts:
            stem += "-2"
        panels = [(dataset, model, [dataset]) for dataset in results.datasets]
        charts[f"datasets_{stem}"] = _chart(
            f"datasets-{number}", f"{model}: top-1 accuracy by data set{_mark(results, model)}", replicates, panels
        )
    return charts


def _mark(results: Results, *models: str) -> str:
    missing = results.incomplete_text(*models)
    return f" ({MARK} not all images of {missing})" if missing else ""


def _chart(
    name: str, title: str, replicates: Replicates, panels: Sequence[tuple[str, str, Sequence[str]]], *, columns: int = 5
) -> Chart:
    results = replicates.results
    positions, ticks = _places(results, {model for _, model, _ in panels})
    drawn = []
    for heading, model, datasets in panels:
        series = []
        for variant in results.variants[model]:
            found = {at: results.accuracies(model, variant, at) for at in results.resolutions}
            bounds = [
                replicates.mean_bounds(model, variant, at, datasets)
                for at, accuracies in found.items()
                if accuracies is not None
            ]
            means = {
                positions[at]: 100 * float(robustness.mean_accuracy({name: accuracies[name] for name in datasets}))
                for at, accuracies in found.items()
                if accuracies is not None
            }
            low, high = ends(bounds)
            series.append(Series(name=variant, x=list(means), y=list(means.values()), low=low, high=high))
        chance = sum(1 / results.classes[dataset] for dataset in datasets) / len(datasets)
        drawn.append(Panel(title=heading, series=series, level=100 * chance, level_name="chance"))
    return Chart(
        name=name,
        title=title,
        panels=drawn,
        columns=columns,
        x=Axis(label="Resolution of the image (pixels, short side)", scale="log2", ticks=ticks),
        y=Axis(label="Top-1 accuracy (%)", limits=(0, 10)),
        alt=f"{title}, against the resolution of the image, one line per variant.",
    )


def _places(results: Results, models: set[str]) -> tuple[dict[int | str, float], dict[float, str]]:
    """Where the resolutions stand on the axis: the pixels, and "hr" at the input size where it is one and known."""
    sizes = {results.extra(model, variant, "image_size") for model in models for variant in results.variants[model]}
    size = sizes.pop() if len(sizes) == 1 else None
    positions: dict[int | str, float] = {}
    ticks: dict[float, str] = {}
    for at in results.resolutions:  # pixels first
        highest = max(positions.values(), default=8.0)
        apart = size if size is not None and size >= 1.25 * highest else 2 * highest  # tick labels would collide
        positions[at] = float(at if isinstance(at, int) else apart)
        label = str(at).upper()
        ticks[positions[at]] = f"{label}\n({size})" if at == HIGH_RESOLUTION and size is not None else label
    return positions, ticks
