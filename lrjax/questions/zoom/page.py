"""The page of zoom results: how far zooming could raise accuracy, where, at which scale, and the views of one image."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int
from PIL import Image

from lrjax.data.images import to_rgb
from lrjax.data.reopen import open_again
from lrjax.display.charts.maps import Sheet
from lrjax.display.page import Block, Page, Section
from lrjax.display.tables import counted
from lrjax.errors import UserError
from lrjax.metrics.zoom import TOP
from lrjax.questions.zoom import pictures, report
from lrjax.questions.zoom.stored import ZoomTable, by_dataset, tables_of
from lrjax.results.row import Row

_LEAD = (
    "Each image is seen in 324 ways: at 36 scales, through a window at 9 places. {models} on {datasets}. An upper "
    "bound is the share of images that some view gets right, which only somebody who knows the label can choose. After "
    "Taesiri et al. 2023, arXiv 2304.05538."
)


def zoom_page(
    rows: Sequence[Row],
    samples: Callable[[str], Mapping[str, np.ndarray] | None] | None,
    *,
    duplicates: str = "error",
) -> Page:
    """Returns the page of results of zooming.

    Args:
        rows: result rows of zooming.
        samples: gives the per-image arrays of a key, or None where there are none.
        duplicates: "error", or "newest" to take the last of several tables of one kind.

    Raises:
        UserError: arrays are damaged, the tables of a data set are not of the same images, or there are several of one
            kind.
    """
    stored = {row.key: None if samples is None else samples(row.key) for row in rows}
    tables = tables_of([row for row in rows if stored[row.key] is not None], stored.get, duplicates=duplicates)
    missing = dict.fromkeys(f"{row.model} on {row.test_set}" for row in rows if stored[row.key] is None)
    sets, grouped = (report.covers(tables), by_dataset(tables)) if tables else ([], {})
    models = counted(len({table.name for table in tables}), "model")
    datasets = counted(len(grouped), "data set")
    bounds = report.bounds_table(tables, sets) if tables else None
    return Page(
        name="zoom",
        label="Zoom",
        title="How far could zooming raise accuracy?",
        lead=_LEAD.format(models=models, datasets=datasets),
        teaser=f"{models} saw the images of {datasets} through 324 windows each.",
        notice=f"Left out, because their per-image arrays are missing: {', '.join(missing)}." if missing else "",
        sections=_sections(tables, sets, grouped) if tables else (),
        headline=() if bounds is None else (bounds,),
        tables={} if bounds is None else {"zoom": bounds},
        hint="more on zooming: python -m lrjax.questions.zoom RESULTS_DIR --out DIR",
    )


def _sections(
    tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]], grouped: Mapping[str, Sequence[ZoomTable]]
) -> list[Section]:
    bounds = [report.bounds_table(tables, sets), report.unclassifiable_table(grouped)]
    return [
        Section(name="bounds", title="Upper bounds", blocks=bounds),
        Section(name="places", title="Where to look", blocks=[pictures.anchor_maps(tables)]),
        Section(name="scales", title="At which scale", blocks=[pictures.curves(grouped)]),
        _example(grouped, dict(zip(map(id, tables), sets, strict=True))),
    ]


def _example(grouped: Mapping[str, Sequence[ZoomTable]], covers: Mapping[int, Int[np.ndarray, "_"]]) -> Section:
    """The views of an image of the first data set whose images can be opened, or why there is none."""
    name, heading, reasons = "example", "The views of one image", []
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
        blocks: list[Block] = [
            f"Of {dataset} the image that the first model gets right under about half of the views.",
            Sheet(name="zoom-image", title=title, pictures=[np.asarray(image)], captions=[str(example["id"])]),
            pictures.view_map(tables, index),
        ]
        if len(cover):
            blocks.append(pictures.crops(image, first, cover, index=index))
        return Section(name=name, title=heading, blocks=blocks)
    notice = f"No image is shown, because none could be opened again. {' '.join(reasons)}"
    return Section(name=name, title=heading, blocks=(), notice=notice)
