"""The pictures of the studies: accuracy against scale, the bound at each anchor, the views of one image.

They are described here, for the command and for the page of the report to draw.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int, UInt8
from PIL import Image

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.display.charts.maps import Map, Maps, Sheet
from lrjax.errors import UserError
from lrjax.metrics import zoom
from lrjax.metrics.label_sets import in_label_set
from lrjax.ops.preprocess import short_side_size
from lrjax.ops.zoom import ANCHORS, CENTRE_SCALES, SCALES, anchor_starts
from lrjax.questions.zoom.stored import ZoomTable

_SIZE = 224
_TICKS = (10, 32, 96, 224, 512, 1024)


def curves(by_dataset: Mapping[str, Sequence[ZoomTable]]) -> Chart:
    """Shows the accuracy of the middle crop against scale, and dashed the best of the nine crops of a scale.

    Args:
        by_dataset: tables of several models by data set.
    """
    panels = []
    for dataset, tables in by_dataset.items():
        series = []
        for table in tables:
            found = zoom.scale_curves(table.correct)
            shared: dict[str, Any] = {"x": found.scales, "group": table.title, "marker": ""}
            series.append(Series(name=f"{table.title}, middle crop", y=100 * found.middle, **shared))
            series.append(Series(name=f"{table.title}, best of nine", y=100 * found.nine, dashed=True, **shared))
        panels.append(Panel(title=dataset, series=series))
    return Chart(
        name="zoom-scales",
        title="Accuracy against scale: the middle crop, and dashed the best of nine",
        panels=panels,
        x=Axis(label="shorter side in pixels", scale="log2", ticks={float(tick): str(tick) for tick in _TICKS}),
        y=Axis(label="accuracy in %"),
        alt="Lines of accuracy against the length of the shorter side, one pair per model.",
        columns=3,
    )


def centre_curves(by_dataset: Mapping[str, Sequence[ZoomTable]]) -> Chart:
    """Shows how the accuracy of a centre crop changes with the scale, relative to that at 256 pixels.

    Args:
        by_dataset: tables of several models by data set, at least one with centre crops.

    Reference: arXiv 2304.05538, Figure A11.
    """
    panels = []
    for dataset, tables in by_dataset.items():
        series = [
            Series(name=table.title, x=CENTRE_SCALES, y=100 * centre_change(table))
            for table in tables
            if table.centre is not None
        ]
        if series:
            panels.append(Panel(title=dataset, series=series))
    return Chart(
        name="zoom-centre",
        title="Accuracy of a centre crop against scale, relative to that at 256 pixels",
        panels=panels,
        x=Axis(label="shorter side in pixels", ticks={float(tick): str(tick) for tick in CENTRE_SCALES[::2]}),
        y=Axis(label="change in percentage points"),
        alt="Lines of the change of accuracy against the length of the shorter side, one per model.",
        columns=3,
    )


def centre_change(table: ZoomTable) -> Float64[np.ndarray, "11"]:
    """The accuracy at each of `CENTRE_SCALES` less that at 256 pixels."""
    assert table.centre is not None
    accuracy = np.array([in_label_set(guess, table.labels).mean() for guess in table.centre.T])
    return accuracy - accuracy[CENTRE_SCALES.index(256)]


def anchor_maps(tables: Sequence[ZoomTable]) -> Maps:
    """Shows the upper bound at each anchor, one 3 x 3 map per table.

    Args:
        tables: the tables.
    """
    maps = [
        Map(title=f"{table.title}\n{table.dataset}", values=100 * zoom.anchor_bounds(table.correct)) for table in tables
    ]
    title = "Right at any scale, by the place of the crop"
    return Maps(name="zoom-anchors", title=title, maps=maps, low=0, high=100, label="images in %")


def view_grid(correct: Bool[np.ndarray, "324"]) -> Bool[np.ndarray, "18 18"]:
    """Puts the views of an image on a square: nine blocks as the anchors lie, with the scales in rising order row by
    row in each.

    Reference: arXiv 2304.05538, Figure A27 (its arrangement is our own).
    """
    by_scale = correct.reshape(len(ANCHORS), len(SCALES))[:, np.argsort(SCALES)]
    return by_scale.reshape(3, 3, 6, 6).transpose(0, 2, 1, 3).reshape(18, 18)


def view_map(tables: Sequence[ZoomTable], index: int) -> Maps:
    """Shows which of the 324 views of an image each model gets right.

    Args:
        tables: the tables.
        index: position of the image in its data set; tables without it are left out.

    Raises:
        UserError: no table has the image.
    """
    maps = [
        Map(title=f"{table.title}, {table.dataset}\n{row.sum()} of {row.size} right", values=view_grid(row))
        for table, row in _with_image(tables, index)
    ]
    title = f"Image {index}: right views (blue), by place and, in each block, rising scale"
    return Maps(name=f"zoom-views-{index}", title=title, maps=maps, low=0, high=1, block=6, columns=3)


def _with_image(tables: Sequence[ZoomTable], index: int) -> list[tuple[ZoomTable, Bool[np.ndarray, "324"]]]:
    found = [(table, table.correct[table.index == index][0]) for table in tables if (table.index == index).any()]
    if not found:
        raise UserError(f"no zoom table has an image {index}; give a position in the data set")
    return found


def crop(image: Image.Image, view: int) -> UInt8[np.ndarray, "224 224 3"]:
    """Returns a view of an image, by Pillow.

    Args:
        image: the image.
        view: column of the view in the tables.

    Returns:
        Pixels, 0..255, black outside the image.
    """
    row, column = ANCHORS[zoom.VIEW_ANCHORS[view]]
    height, width = short_side_size(image.height, image.width, int(zoom.VIEW_SCALES[view]))
    top, left = anchor_starts(height, _SIZE)[row], anchor_starts(width, _SIZE)[column]
    resized = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + _SIZE, top + _SIZE)))


def divided_image(table: ZoomTable) -> int:
    """Returns the position of an image that is right under about half of the views, the first of several.

    Args:
        table: the table.
    """
    order = np.argsort(table.index)
    return int(table.index[order][np.argmin(np.abs(table.correct[order].mean(axis=1) - 0.5))])


def crops(
    image: Image.Image,
    table: ZoomTable,
    views: Sequence[int] | Int[np.ndarray, "M"],
    *,
    index: int | None = None,
    name: str = "zoom-crops",
) -> Sheet:
    """Shows views of an image, such as the first 36 of a cover.

    Args:
        image: the image.
        table: the table that the views were chosen from.
        views: columns of the table.
        index: position of the image in the data set, for frames that tell which views are right; default no frames.
        name: of the sheet.

    Raises:
        UserError: there is no view, or the table does not have the image.
    """
    right = None if index is None else _with_image([table], index)[0][1][np.asarray(views, int)]
    captions = [f"{zoom.VIEW_SCALES[view]} px, {_PLACES[zoom.VIEW_ANCHORS[view]]}" for view in views]
    title = f"{table.title}, {table.dataset}: first {len(views)} crops of the cover"
    pictures = [crop(image, int(view)) for view in views]
    return Sheet(name=name, title=title, pictures=pictures, captions=captions, right=right)


_PLACES = tuple(
    "middle" if (row, column) == (1, 1) else f"{('top', 'middle', 'bottom')[row]} {('left', 'centre', 'right')[column]}"
    for row, column in ANCHORS
)
