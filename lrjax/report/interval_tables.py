"""Confidence intervals of the user's own runs, from the per-image arrays behind their rows."""

from collections.abc import Sequence

import numpy as np

from lrjax.display.tables import Estimate, Table
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import marked
from lrjax.metrics.intervals import CONFIDENCE, REPLICATES, interval_around
from lrjax.metrics.robustness import Numbers
from lrjax.report.headline import comparisons, in_percent, resolution_label, systems

_SCORES = ("SAR", "WAR", "ACC")
_CAPTION = (
    f"Percent; in brackets {CONFIDENCE:.0%} intervals over images: score intervals of accuracies, else the middle of "
    f"{REPLICATES:,} bootstrap replicates, which are the same for all models, variants and resolutions; none where all "
    "replicates are equal."
)


def interval_tables(replicates: Replicates) -> dict[str, Table]:
    """Tabulates scores, their differences and accuracies with confidence intervals.

    Args:
        replicates: of the results.

    Returns:
        Tables by name, those without lines left out: "intervals", "differences" and "intervals_per_dataset".
    """
    tables = {
        "intervals": _scores(replicates),
        "differences": _differences(replicates),
        "intervals_per_dataset": _by_dataset(replicates),
    }
    return {name: table for name, table in tables.items() if table.rows}


def _scores(replicates: Replicates) -> Table:
    results, lines = replicates.results, []
    for system in systems(results):
        for resolution in results.resolutions:
            values, drawn = results.scores(*system, resolution), replicates.scores(*system, resolution)
            if values is not None and drawn is not None:
                scores = map(_estimate, values[:2], drawn[:2])
                mean = in_percent(float(values[2]), replicates.mean_bounds(*system, resolution))
                lines.append((*system, resolution_label(resolution), *scores, mean))
    caption = " ".join([_CAPTION, *results.notes()])
    header = ("Model", "Variant", "At", *_SCORES)
    table = Table("Robustness with intervals", caption, header, tuple(lines), labels=3, group=3)
    return marked(table, [results.incomplete_text(model) for model, *_ in lines])


def _differences(replicates: Replicates) -> Table:
    results, lines, missing = replicates.results, [], []
    for one, other, *names in comparisons(results):
        for resolution in results.resolutions:
            cells = _difference(replicates, one, other, resolution)
            if cells is not None:
                lines.append((*names, resolution_label(resolution), *cells))
                missing.append(results.incomplete_text(one[0], other[0]))
    caption = " ".join(["How many points a model is above another one on the same images.", _CAPTION, *results.notes()])
    if any(cell is None for line in lines for cell in line[-1:]):
        caption += " No difference is shown between results on different images."
    header = ("Model", "Against", "At", *_SCORES)
    return marked(Table("Differences", caption, header, tuple(lines), labels=3, group=3), missing)


def _difference(
    replicates: Replicates, one: tuple[str, str], other: tuple[str, str], resolution: int | str
) -> Sequence[Estimate | None] | None:
    """How far the scores of one are above those of the other; None without results or per-image arrays of both."""
    high, low = (replicates.results.scores(*each, resolution) for each in (one, other))
    drawn, other_drawn = (replicates.scores(*each, resolution) for each in (one, other))
    if high is None or low is None or drawn is None or other_drawn is None:
        return None
    if not replicates.paired(one, other, resolution):
        return [None] * len(_SCORES)
    alike = [
        names == others
        for names, others in zip(*(replicates.results.defined(each[0]) for each in (one, other)), strict=True)
    ]
    scores = [_minus(*pair) if same else None for *pair, same in zip(high[:2], low[:2], alike, strict=True)]
    bounds = replicates.mean_difference_bounds(one, other, resolution)
    return [
        *map(_estimate, scores, map(_minus, drawn[:2], other_drawn[:2])),
        in_percent(float(high[2] - low[2]), bounds),
    ]


def _by_dataset(replicates: Replicates) -> Table:
    results, lines = replicates.results, []
    for model, variant in systems(results):
        for dataset in results.datasets:
            for resolution in results.resolutions:
                cell = (model, variant, dataset, resolution)
                if (bounds := replicates.accuracy_bounds(*cell)) is not None:
                    accuracy, reference = results.rows[cell].value, results.reference(model, dataset).value
                    gamma = accuracy / reference if dataset in results.defined(model)[0] else None
                    estimates = in_percent(accuracy, bounds), _estimate(gamma, replicates.relative(*cell))
                    lines.append((model, variant, dataset, resolution_label(resolution), *estimates))
    caption = f"Gamma: share of the HR accuracy that is left, where that is above chance. {_CAPTION}"
    caption = " ".join([caption, *results.footnote()])
    header = ("Model", "Variant", "Data set", "At", "Top-1", "Gamma")
    table = Table("Top-1 accuracy with intervals", caption, header, tuple(lines), labels=4)
    return marked(table, [results.incomplete[model].get(dataset) for model, _, dataset, *_ in lines])


def _estimate(value: float | np.ndarray | None, replicates: np.ndarray | None) -> Estimate | None:
    """A score in percent; None where it is undefined."""
    if value is None:
        return None
    return in_percent(float(value), None if replicates is None else interval_around(float(value), replicates))


def _minus(one: Numbers | None, other: Numbers | None) -> np.ndarray | None:
    return None if one is None or other is None else np.asarray(one - other)
