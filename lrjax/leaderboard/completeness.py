"""Results on fewer images than their data set has: how they are found, and what marks them wherever they are shown."""

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence

from lrjax.data.datasets import get_dataset
from lrjax.display.tables import Table
from lrjax.errors import UserError
from lrjax.results.row import Row

MARK = "‡"
"""Stands beside what is incomplete."""


def expected_images(row: Row) -> int | None:
    """Returns how many images the data set of a result has; None where that is not known.

    A row that does not tell is of the data set of its name. Where that does not tell either, the data set has at least
    the images that were evaluated and the damaged ones that were skipped.
    """
    expected = row.extra["expected"] if "expected" in row.extra else _registered(row.dataset)
    skipped = len(row.extra.get("skipped") or ())
    return images_seen(row) + skipped if expected is None and skipped else expected


def images_seen(row: Row) -> int:
    """Returns how many images of the data set are behind a result; of those that do not tell, the examples are."""
    seen = row.extra.get("images_seen")
    return row.n if seen is None else int(seen)


@functools.cache
def _registered(dataset: str) -> int | None:
    try:
        return get_dataset(dataset).expected_count
    except UserError:
        return None


def shortfall(row: Row) -> str | None:
    """Returns for instance "20 of 5,400"; None where no image is known to be missing."""
    expected = expected_images(row)
    seen = images_seen(row)
    return None if expected is None or seen >= expected else f"{seen:,} of {expected:,}"


def shortfalls(rows: Iterable[Row]) -> dict[str, str]:
    """Returns the `shortfall` by data set; of several rows on one data set the first counts."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(row.test_set, row)
    return {dataset: text for dataset, row in first.items() if (text := shortfall(row)) is not None}


def footnote(missing: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Says what is incomplete, in one sentence or none.

    Args:
        missing: of `shortfalls`, by model.
    """
    parts = [
        f"{model}: {', '.join(f'{text} of {dataset}' for dataset, text in by_dataset.items())}"
        for model, by_dataset in missing.items()
        if by_dataset
    ]
    return [f"{MARK}: not all images of the data set ({'; '.join(parts)})."] if parts else []


def marked(table: Table, cells: Sequence[str | None]) -> Table:
    """Adds a column that marks the incomplete lines, where there are any.

    Args:
        table: the table.
        cells: by line what is missing, for instance "20 of 5,400"; None where nothing is.
    """
    if not any(cells):
        return table
    rows = ((*row, None if cell is None else f"{MARK} {cell}") for row, cell in zip(table.rows, cells, strict=True))
    return dataclasses.replace(table, header=(*table.header, "Incomplete"), rows=tuple(rows))
