"""The numbers of the studies as tables, in percent."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int

from lrjax.display.tables import Table
from lrjax.errors import UserError
from lrjax.leaderboard.completeness import footnote
from lrjax.metrics import zoom
from lrjax.metrics.aggregation import AGGREGATES, CROPS, most_confident
from lrjax.metrics.label_sets import NO_LABEL, in_label_set
from lrjax.metrics.zoom import GROUPS, TOP
from lrjax.ops.zoom import CENTRE_SCALES, VIEWS
from lrjax.questions.zoom.stored import ZoomTable, common_images

_NAMES = ("model", "data set")


def covers(
    tables: Sequence[ZoomTable], *, of: str | None = None, among: Sequence[ZoomTable] = ()
) -> list[Int[np.ndarray, "_"]]:
    """Finds the minimum cover that belongs to each table.

    Args:
        tables: the tables.
        of: the data set on which each model's cover is found; default the table's own.
        among: where to look for tables of that data set, besides the tables themselves.

    Raises:
        UserError: a model has no table of that data set.
    """
    found = []
    for table in tables:
        source = table
        if of is not None:
            kind = (table.model, table.variant, of)
            source = next((one for one in (*tables, *among) if (one.model, one.variant, one.dataset) == kind), None)
            if source is None:
                raise UserError(f"{table.name} has no zoom table on {of}, where its cover is to be found; evaluate it")
        found.append(zoom.minimum_cover(source.correct))
    return found


def bounds_table(tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]]) -> Table:
    """One crop, the first 36 of the cover, all 324, and the baselines of guessing.

    Args:
        tables: the tables.
        sets: of `covers`.
    """
    rows = []
    for table, cover in zip(tables, sets, strict=True):
        guesses = [
            None if table.classes is None else zoom.random_upper_bound(views, table.classes) for views in (TOP, VIEWS)
        ]
        values = [
            zoom.standard_accuracy(table.correct),
            zoom.upper_bound(table.correct, cover[:TOP]),
            zoom.upper_bound(table.correct),
            float(zoom.unclassifiable(table.correct).mean()),
            *guesses,
        ]
        rows.append((table.title, table.dataset, len(table.correct), *map(_percent, values), len(cover)))
    made = Table(
        title="Accuracy under the best of several zooms",
        caption=f"Percent of the images. {TOP} crops: the first of the greedy cover; none: right under no crop; guess: "
        "crops over classes; cover: number of its crops.",
        header=(*_NAMES, "images", "1 crop", f"{TOP} crops", f"{VIEWS} crops", "none", f"guess {TOP}", f"guess {VIEWS}",
                "cover"),
        rows=tuple(rows),
        labels=2,
    )  # fmt: skip
    return _noted(made, tables)


def groups_table(tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]]) -> Table:
    """What zooming in, out and neither solve, within the cover.

    Args:
        tables: the tables.
        sets: of `covers`.
    """
    rows = []
    for table, cover in zip(tables, sets, strict=True):
        found = zoom.group_bounds(table.correct, cover).values()
        solves, only = ([_percent(getattr(one, field)) for one in found] for field in ("solves", "only"))
        rows.append((table.title, table.dataset, *(one.views for one in found), *solves, *only))
    made = Table(
        title="Zooming in, zooming out, and neither",
        caption="Crops of the cover in each group, and percent of the images that it solves, and that only it solves.",
        header=(*_NAMES, *(f"{what} {name}" for what in ("crops", "solves", "only") for name in GROUPS)),
        rows=tuple(rows),
        labels=2,
        group=3,
    )
    return _noted(made, tables)


def anchors_table(tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]]) -> Table:
    """The upper bound at each anchor, and how far the middle one is ahead.

    Args:
        tables: the tables.
        sets: of `covers`.
    """
    rows = []
    for table, cover in zip(tables, sets, strict=True):
        bounds = zoom.anchor_bounds(table.correct)
        share = _percent(zoom.anchor_shares(cover[:TOP])[1, 1]) if len(cover) else None
        values = [_percent(value) for value in (*bounds.ravel(), zoom.centre_bias(bounds))]
        rows.append((table.title, table.dataset, *values, share))
    places = [f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right")]
    made = Table(
        title="Centre bias",
        caption="Percent of the images right at any scale at the anchor; bias: the middle less the mean of the others; "
        f"share: of the middle among the {TOP} crops.",
        header=(*_NAMES, *places, "bias", "share"),
        rows=tuple(rows),
        labels=2,
        group=3,
    )
    return _noted(made, tables)


def scales_table(tables: Sequence[ZoomTable]) -> Table:
    """Accuracy at each scale, of the middle crop and of the best of nine.

    Args:
        tables: the tables.
    """
    curves = [zoom.scale_curves(table.correct) for table in tables]
    header = [f"{table.title}, {table.dataset}, {what}" for table in tables for what in ("middle", "best of 9")]
    rows = [
        (int(scale), *(_percent(values[i]) for curve in curves for values in (curve.middle, curve.nine)))
        for i, scale in enumerate(curves[0].scales)
    ]
    made = Table(
        title="Accuracy against scale",
        caption="Percent of the images, by the length of the shorter side in pixels.",
        header=("scale", *header),
        rows=tuple(rows),
        labels=1,
        group=2,
    )
    return _noted(made, tables)


def aggregation_table(tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]]) -> Table | None:
    """Accuracy of the maximum and the mean of probabilities over groups of views, and over five and ten crops.

    Args:
        tables: the tables.
        sets: of `covers`; used where the evaluation stored each guess with its confidence but aggregated nothing.

    Returns:
        The table, without the columns that no evaluation fills, or None where nothing of the kind was stored.

    Reference: arXiv 2304.05538, Tables A5, A6 and A10.
    """
    rows = []
    for table, cover in zip(tables, sets, strict=True):
        cells = (*_aggregated(table, cover), *_accuracies(table, table.crops, len(CROPS)))
        rows.append((table.title, table.dataset, _percent(zoom.standard_accuracy(table.correct)), *cells))
    header = (*_NAMES, "1 crop", *AGGREGATES, *CROPS)
    shown = [column for column in range(len(header)) if any(row[column] is not None for row in rows)]
    if header[shown[-1]] == "1 crop":
        return None
    made = Table(
        title="Aggregation over crops",
        caption="Percent of the images, by the maximum or the mean of probabilities: over the crops of each group in "
        "the set that the option aggregate names (without one, the maximum over those of the cover, where confidences "
        "were kept), and over corners and centre, alone and with their mirror images.",
        header=tuple(header[column] for column in shown),
        rows=tuple(tuple(row[column] for column in shown) for row in rows),
        labels=2,
    )
    return _noted(made, tables)


def _aggregated(table: ZoomTable, cover: Int[np.ndarray, "M"]) -> list[float | None]:
    if table.aggregated is not None or table.confidence is None or table.guesses is None:
        return _accuracies(table, table.aggregated, len(AGGREGATES))
    cells = []
    for group in GROUPS.values():
        views = cover[np.isin(cover, group)]
        guess = most_confident(table.confidence, table.guesses, views=views) if len(views) else None
        cells += [None if guess is None else _percent(in_label_set(guess, table.labels).mean()), None]
    return cells


def _accuracies(table: ZoomTable, guesses: Int[np.ndarray, "N {count}"] | None, count: int) -> list[float | None]:
    """Percent right of each column, None where nothing is guessed."""
    if guesses is None:
        return [None] * count
    return [
        _percent(in_label_set(guess, table.labels).mean()) if (guess != NO_LABEL).any() else None for guess in guesses.T
    ]


def centre_table(tables: Sequence[ZoomTable]) -> Table | None:
    """Accuracy of centre crops at each scale.

    Args:
        tables: the tables.

    Returns:
        The table, or None where no centre crops were evaluated.

    Reference: arXiv 2304.05538, Figure A11.
    """
    found = [table for table in tables if table.centre is not None]
    if not found:
        return None
    made = Table(
        title="Centre crops",
        caption="Percent of the images, by the length of the shorter side in pixels before the centre crop.",
        header=(*_NAMES, *map(str, CENTRE_SCALES)),
        rows=tuple((one.title, one.dataset, *_accuracies(one, one.centre, len(CENTRE_SCALES))) for one in found),
        labels=2,
    )
    return _noted(made, tables)


def unclassifiable_table(by_dataset: Mapping[str, Sequence[ZoomTable]]) -> Table:
    """The images that no crop of any model gets right.

    Args:
        by_dataset: tables of several models by data set.
    """
    rows = []
    for dataset, tables in by_dataset.items():
        hard = zoom.unclassifiable(*common_images(tables))
        rows.append((dataset, len(tables), len(hard), int(hard.sum()), _percent(float(hard.mean()))))
    made = Table(
        title="Images that no crop of any model gets right",
        caption="Percent of the images of the data set.",
        header=("data set", "models", "images", "left", "percent"),
        rows=tuple(rows),
        labels=1,
    )
    return _noted(made, [one for group in by_dataset.values() for one in group])


def _noted(table: Table, tables: Sequence[ZoomTable]) -> Table:
    """Adds to the caption which of the tables behind it are incomplete."""
    missing: dict[str, dict[str, str]] = {}
    for one in tables:
        if one.incomplete:
            missing.setdefault(one.name, {})[one.dataset] = one.incomplete
    return dataclasses.replace(table, caption=" ".join([table.caption, *footnote(missing)]))


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * float(fraction)
