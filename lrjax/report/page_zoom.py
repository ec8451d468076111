"""The page of zoom results: how far zooming could raise accuracy, where, at which scale, and the views of one image."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lrjax.data.images import to_rgb
from lrjax.data.reopen import open_again
from lrjax.display.charts.maps import Sheet
from lrjax.errors import UserError
from lrjax.metrics.zoom import TOP
from lrjax.questions.zoom import pictures, report
from lrjax.questions.zoom.stored import EVALUATOR, ZoomTable, by_dataset, tables_of
from lrjax.results.store import Row


def zoom_page(
    rows: Sequence[Row],
    samples: Callable[[str], Mapping[str, np.ndarray] | None] | None,
    *,
    duplicates: str = "error",
) -> Mapping[str, Any] | None:
    """Returns what the template of the page shows, or None where there are no results of zooming.

    Args:
        rows: result rows; those of other evaluators are passed over.
        samples: gives the per-image arrays of a key, or None where there are none.
        duplicates: "error", or "newest" to take the last of several tables of one kind.

    Raises:
        UserError: arrays are damaged, the tables of a data set are not of the same images, or there are several of one
            kind.
    """
    zoomed = [row for row in rows if row.evaluator == EVALUATOR]
    if not zoomed:
        return None
    stored = {row.key: None if samples is None else samples(row.key) for row in zoomed}
    tables = tables_of([row for row in zoomed if stored[row.key] is not None], stored.get, duplicates=duplicates)
    missing = dict.fromkeys(f"{row.model} on {row.dataset}" for row in zoomed if stored[row.key] is None)
    page = {"missing": list(missing), "tables": [], "models": len({table.name for table in tables}), "datasets": 0}
    if not tables:
        return page
    sets, grouped = report.covers(tables), by_dataset(tables)
    return page | {
        "tables": [report.bounds_table(tables, sets), report.unclassifiable_table(grouped)],
        "datasets": len(grouped),
        "anchors": pictures.anchor_maps(tables),
        "scales": pictures.curves(grouped),
        "example": _example(grouped, dict(zip(map(id, tables), sets, strict=True))),
    }


def _example(grouped: Mapping[str, Sequence[ZoomTable]], covers: Mapping[int, np.ndarray]) -> Mapping[str, Any]:
    """The views of an image of the first data set whose images can be opened, or why there is none."""
    reasons = []
    for dataset, tables in grouped.items():
        first = tables[0]
        index = pictures.divided_image(first)
        try:
            example = open_again(first.images)[1][index]
        except UserError as error:
            reasons.append(f"{dataset}: {error}")
            continue
        image, cover = Image.fromarray(to_rgb(example["image"])), covers[id(first)][:TOP]
        title = f"Image {index} of {dataset}"
        return {
            "dataset": dataset,
            "whole": Sheet(name="zoom-image", title=title, pictures=[np.asarray(image)], captions=[str(example["id"])]),
            "views": pictures.view_map(tables, index),
            "crops": pictures.crops(image, first, cover, index=index) if len(cover) else None,
        }
    return {"reasons": reasons}
