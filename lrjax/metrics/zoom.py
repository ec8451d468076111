"""How much zooming could help a classifier: one study of a table of correctness per function (numpy).

The table `correct` has one row per image and one column per view, in the order of `lrjax.ops.zoom`: anchor * 36 +
scale. A set of views is an array of column numbers; None stands for all. Accuracies are fractions in [0, 1].

Reference: Taesiri et al. 2023, arXiv 2304.05538 (ImageNet-Hard).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int
from numpy.typing import ArrayLike

from lrjax.errors import UserError
from lrjax.ops.zoom import ANCHORS, SCALES, VIEWS

TOP = 36
"""Number of views in the published set between a single view and all of them."""

_CENTRE = ANCHORS.index((1, 1))


def view_index(row: int, column: int, scale: int) -> int:
    """Returns the column of a view in the tables.

    Args:
        row: row of the anchor, 0..2 from the top.
        column: column of the anchor, 0..2 from the left.
        scale: length of the shorter side in pixels, one of `SCALES`.

    Raises:
        UserError: there is no such view.
    """
    if (row, column) not in ANCHORS or scale not in SCALES:
        raise UserError(f"there is no view at anchor ({row}, {column}) and scale {scale}; see lrjax.ops.zoom")
    return ANCHORS.index((row, column)) * len(SCALES) + SCALES.index(scale)


STANDARD_VIEW = view_index(1, 1, 256)
"""The view of the published 1-crop accuracy: shorter side 256, middle anchor."""

VIEW_SCALES: Int[np.ndarray, "324"] = np.tile(SCALES, len(ANCHORS))
"""Scale of each view."""

VIEW_ANCHORS: Int[np.ndarray, "324"] = np.repeat(np.arange(len(ANCHORS)), len(SCALES))
"""Anchor of each view, 0..8."""

GROUPS: Mapping[str, Int[np.ndarray, "_"]] = {
    "zoom-in": np.flatnonzero(VIEW_SCALES > 224),
    "zoom-out": np.flatnonzero(VIEW_SCALES < 224),
    "zoom-224": np.flatnonzero(VIEW_SCALES == 224),
}
"""Views by the scale against the side 224 of the crop: 234 that enlarge, 81 that show a margin, 9 in between."""


def _table(correct: ArrayLike, *, all_views: bool = False) -> Bool[np.ndarray, "N V"]:
    table = np.asarray(correct)
    if table.ndim != 2 or table.dtype != bool:
        raise UserError(f"the table of correctness is {table.dtype} {list(table.shape)}; give bool [images, views]")
    if not len(table):
        raise UserError("the table of correctness has no images; evaluate at least one")
    if all_views and table.shape[1] != VIEWS:
        raise UserError(f"the table of correctness has {table.shape[1]} views, but this study needs all {VIEWS}")
    return table


def _selected(correct: ArrayLike, views: ArrayLike | None) -> Bool[np.ndarray, "N 324"]:
    """The table with the columns outside the set cleared."""
    table = _table(correct, all_views=True)
    if views is None:
        return table
    kept = np.zeros(VIEWS, bool)
    kept[check_views(views, VIEWS)] = True
    return table & kept


def check_views(views: ArrayLike, count: int) -> Int[np.ndarray, "M"]:
    """Checks a set of views.

    Args:
        views: columns, int [M].
        count: number of columns of the table.

    Returns:
        The columns, to index with.

    Raises:
        UserError: they are not a list of integers, or there is no such column.
    """
    chosen = np.asarray(views)
    if chosen.ndim != 1 or (chosen.size and not np.issubdtype(chosen.dtype, np.integer)):
        raise UserError(f"the set of views is {chosen.dtype} {list(chosen.shape)}; give a list of column numbers")
    chosen = chosen.astype(np.intp)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < count:
        raise UserError(f"the set of views reaches from {chosen.min()} to {chosen.max()}; columns are 0 to {count - 1}")
    return chosen


def standard_accuracy(correct: ArrayLike) -> float:
    """The 1-crop accuracy: shorter side 256, middle anchor.

    Args:
        correct: bool [N, 324].

    Returns:
        A fraction. It differs from that of a centre crop, whose place is not the middle anchor.

    Raises:
        UserError: the table has another form.

    Reference: arXiv 2304.05538, Table 1 (a).
    """
    return float(_table(correct, all_views=True)[:, STANDARD_VIEW].mean())


def upper_bound(correct: ArrayLike, views: ArrayLike | None = None) -> float:
    """The share of images that at least one view of a set gets right.

    A set that was found on one data set may be applied to the table of another.

    Args:
        correct: bool [N, V].
        views: the set, int [M]; default all. The bound over no view is 0.

    Returns:
        A fraction.

    Raises:
        UserError: the table is empty or of another form, or the set names a view that is not there.

    Reference: arXiv 2304.05538, section 4.1 and Table 1.
    """
    table = _table(correct)
    return float((table if views is None else table[:, check_views(views, table.shape[1])]).any(axis=1).mean())


def unclassifiable(*tables: ArrayLike) -> Bool[np.ndarray, "N"]:
    """Tells which images no view of any table gets right.

    Args:
        *tables: bool [N, V] each, of several models on the same images, at least one.

    Raises:
        UserError: no table, one of another form, or tables of different data sets.

    Reference: arXiv 2304.05538, section 4.1.
    """
    if not tables:
        raise UserError("there is no table of correctness; give at least one")
    solved = [np.any(_table(table), axis=1) for table in tables]
    if len({len(one) for one in solved}) > 1:
        counts = ", ".join(str(len(one)) for one in solved)
        raise UserError(f"the tables have {counts} images; give tables of one data set")
    return ~np.logical_or.reduce(solved)


def random_upper_bound(views: int, classes: int) -> float:
    """The published baseline of guessing, views / classes, at most 1.

    It counts the views as guesses of different classes; independent guesses would reach 1 - (1 - 1 / classes) ** views.

    Args:
        views: number of views, at least 1.
        classes: number of classes, at least 1.

    Raises:
        UserError: a number below 1.

    Reference: arXiv 2304.05538, Table 1.
    """
    if views < 1 or classes < 1:
        raise UserError(f"{views} views of {classes} classes have no baseline; give numbers of at least 1")
    return min(1.0, views / classes)


def minimum_cover(correct: ArrayLike, *, limit: int | None = None) -> Int[np.ndarray, "M"]:
    """Chooses views greedily until they get right every image that any view does.

    Each step takes the view that is right on most of the images left; of equal ones the first column, which in the
    order of the views is the published rule for ties.

    Args:
        correct: bool [N, V].
        limit: stop after so many views: the first `TOP` are the published "36 crops". Default: cover all.

    Returns:
        Columns in the order they were chosen.

    Raises:
        UserError: the table is empty or of another form, or the limit is below 1.

    Reference: arXiv 2304.05538, Figure A10; Chvatal 1979 (greedy rule).
    """
    table = _table(correct)
    if limit is not None and limit < 1:
        raise UserError(f"the limit of the cover is {limit}; give at least 1")
    open_images = np.any(table, axis=1)
    counts = table.sum(axis=0, dtype=np.int64)
    chosen: list[int] = []
    while open_images.any() and (limit is None or len(chosen) < limit):
        best = int(np.argmax(counts))
        gained = np.flatnonzero(open_images & table[:, best])
        counts -= table[gained].sum(axis=0, dtype=np.int64)  # each image is subtracted once over all steps
        open_images[gained] = False
        chosen.append(best)
    return np.asarray(chosen, np.intp)


class GroupBound(NamedTuple):
    """What a group of views solves.

    Attributes:
        solves: share of images that a view of the group gets right.
        only: share of images that a view of the group gets right and none of the other groups does.
        views: number of views of the group that count.
    """

    solves: float
    only: float
    views: int


def group_bounds(correct: ArrayLike, views: ArrayLike | None = None) -> dict[str, GroupBound]:
    """Splits a set of views into zooming in, zooming out and neither, and bounds the accuracy of each group.

    The published "only" columns were computed over all 324 views with the groups of another model's cover, an error of
    the published program, so they differ a little from these, where both the set and the images are the caller's own.

    Args:
        correct: bool [N, 324].
        views: the set, for instance the model's own `minimum_cover`; default all.

    Returns:
        By the names in `GROUPS`.

    Raises:
        UserError: the table has another form, or the set names a view that is not there.

    Reference: arXiv 2304.05538, Tables A2 and A3.
    """
    table = _selected(correct, views)
    chosen = np.arange(VIEWS) if views is None else np.unique(check_views(views, VIEWS))
    solved = {name: table[:, group].any(axis=1) for name, group in GROUPS.items()}
    number = sum(one.astype(np.int8) for one in solved.values())
    return {
        name: GroupBound(
            solves=float(one.mean()),
            only=float((one & (number == 1)).mean()),
            views=int(np.isin(chosen, GROUPS[name]).sum()),
        )
        for name, one in solved.items()
    }


def anchor_bounds(correct: ArrayLike, views: ArrayLike | None = None) -> Float64[np.ndarray, "3 3"]:
    """The upper bound over the views at each anchor.

    This is the plain grouping. The published heat maps of the models trained on ImageNet credit an anchor with further
    crops, by a table that was not published; their values are higher.

    Args:
        correct: bool [N, 324].
        views: a set; default all. An anchor without a view of the set has 0.

    Returns:
        Rows from the top.

    Raises:
        UserError: the table has another form, or the set names a view that is not there.

    Reference: arXiv 2304.05538, Figure 3.
    """
    table = _selected(correct, views).reshape(-1, len(ANCHORS), len(SCALES))
    return table.any(axis=2).mean(axis=0).reshape(3, 3)


def centre_bias(bounds: ArrayLike) -> float:
    """How far the middle anchor is above the mean of the eight others.

    Args:
        bounds: [3, 3] of `anchor_bounds`.

    Returns:
        The gap in the unit of the bounds.

    Raises:
        UserError: the bounds have another shape.
    """
    values = np.asarray(bounds, np.float64)
    if values.shape != (3, 3):
        raise UserError(f"the bounds have shape {list(values.shape)}; give one per anchor, [3, 3]")
    return float(values[1, 1] - np.delete(values.ravel(), _CENTRE).mean())


def anchor_shares(views: ArrayLike) -> Float64[np.ndarray, "3 3"]:
    """The share of a set of views that each anchor has.

    Args:
        views: int [M], M >= 1, for instance the first `TOP` of a cover.

    Returns:
        Shares, sum 1, rows from the top.

    Raises:
        UserError: the set is empty or names a view that is not there.

    Reference: arXiv 2304.05538, the analysis of the top 36 views.
    """
    chosen = check_views(views, VIEWS)
    if not chosen.size:
        raise UserError("the set of views is empty, so its anchors have no shares; give at least one view")
    return np.bincount(VIEW_ANCHORS[chosen], minlength=len(ANCHORS)).reshape(3, 3) / chosen.size


class ScaleCurves(NamedTuple):
    """Accuracy against scale.

    Attributes:
        scales: ascending.
        middle: accuracy of the view at the middle anchor.
        nine: upper bound over the nine anchors.
    """

    scales: Int[np.ndarray, "36"]
    middle: Float64[np.ndarray, "36"]
    nine: Float64[np.ndarray, "36"]


def scale_curves(correct: ArrayLike) -> ScaleCurves:
    """The accuracy at each scale: of the middle view, and the upper bound over the nine anchors.

    Args:
        correct: bool [N, 324].

    Raises:
        UserError: the table has another form.

    Reference: arXiv 2304.05538, Figures A12 to A18.
    """
    table = _table(correct, all_views=True).reshape(-1, len(ANCHORS), len(SCALES))
    order = np.argsort(SCALES)
    return ScaleCurves(
        scales=np.asarray(SCALES)[order],
        middle=table[:, _CENTRE].mean(axis=0)[order],
        nine=table.any(axis=1).mean(axis=0)[order],
    )
