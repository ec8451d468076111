"""Confidence intervals of the user's own runs, from the per-image arrays behind their rows."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from lrjax.metrics.intervals import CONFIDENCE, REPLICATES, interval
from lrjax.resampling import Replicates
from lrjax.tables import Table

_SCORES = ("SAR", "WAR", "ACC")


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
    for model, variant in _systems(replicates):
        for resolution in results.resolutions:
            values, drawn = results.scores(model, variant, resolution), replicates.scores(model, variant, resolution)
            if values is not None and drawn is not None:
                lines.append((model, variant, _label(resolution), *_cells(values, drawn)))
    header = ("Model", "Variant", "Resolution", *_header(_SCORES))
    return Table("Robustness with intervals", _caption(), header, tuple(lines), labels=3, group=3)


def _differences(replicates: Replicates) -> Table:
    results, lines = replicates.results, []
    first = next(iter(results.variants))
    for model, variant in _systems(replicates):
        against = (model if variant != results.reference_variant else first, results.reference_variant)
        if against == (model, variant):
            continue
        for resolution in results.resolutions:
            pairs = [(results.scores(*one, resolution), replicates.scores(*one, resolution))
                     for one in ((model, variant), against)]  # fmt: skip
            if all(values is not None and drawn is not None for values, drawn in pairs):
                (values, drawn), (others, other_drawn) = pairs
                cells = _cells(map(_minus, values, others), map(_minus, drawn, other_drawn))
                lines.append((model, variant, " ".join(against), _label(resolution), *cells))
    caption = "Points that a model or variant is above another one, on the same images. " + _caption()
    header = ("Model", "Variant", "Against", "Resolution", *_header(_SCORES))
    return Table("Differences", caption, header, tuple(lines), labels=4, group=3)


def _by_dataset(replicates: Replicates) -> Table:
    results, lines = replicates.results, []
    for model, variant in _systems(replicates):
        for dataset in results.datasets:
            for resolution in results.resolutions:
                cell = (model, variant, dataset, resolution)
                if (drawn := replicates.accuracy(*cell)) is not None:
                    gamma = None
                    if (relative := replicates.relative(*cell)) is not None:
                        gamma = results.rows[cell].value / results.reference(model, dataset).value
                    cells = _cells((results.rows[cell].value, gamma), (drawn, relative))
                    lines.append((model, variant, dataset, _label(resolution), *cells))
    caption = "Gamma: share of the HR accuracy that is left. " + _caption()
    header = ("Model", "Variant", "Data set", "Resolution", *_header(("Top-1", "Gamma")))
    return Table("Top-1 accuracy with intervals", caption, header, tuple(lines), labels=4, group=3)


def _systems(replicates: Replicates) -> list[tuple[str, str]]:
    return [(model, variant) for model, variants in replicates.results.variants.items() for variant in variants]


def _cells(values: Iterable[ArrayLike | None], drawn: Iterable[np.ndarray | None]) -> list[float | None]:
    """Value, lower and upper bound of every score, in percent."""
    cells: list[float | None] = []
    for value, replicates in zip(values, drawn, strict=True):
        bounds = (None, None) if replicates is None else interval(replicates)
        cells += [None if number is None else 100 * float(number) for number in (value, *bounds)]
    return cells


def _minus(one: np.ndarray | None, other: np.ndarray | None) -> np.ndarray | None:
    return None if one is None or other is None else one - other


def _header(names: Sequence[str]) -> list[str]:
    return [title for name in names for title in (name, f"{name} low", f"{name} high")]


def _label(resolution: int | str) -> str:
    return str(resolution).upper()


def _caption() -> str:
    return (
        f"Percent; low and high bound {CONFIDENCE:.0%} of {REPLICATES:,} bootstrap replicates over images, the same "
        "images for all models, variants and resolutions."
    )
