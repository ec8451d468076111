"""Damaged images that runs left out."""

from collections.abc import Sequence
from typing import NamedTuple

from lrjax.results.row import Row


class Skipped(NamedTuple):
    """The images that one variant of a model did not see.

    Attributes:
        entry: "MODEL [VARIANT]", as the leaderboard calls it.
        dataset: the data set.
        names: of the images.
    """

    entry: str
    dataset: str
    names: tuple[str, ...]


def skipped_images(rows: Sequence[Row]) -> list[Skipped]:
    """Lists the damaged images that rows name, by entry and data set; of several rows for one of them the last counts.

    Args:
        rows: result rows, the newest last.
    """
    found = {(row.model, row.variant, row.test_set): row.extra.get("skipped") or () for row in rows}
    return [
        Skipped(f"{model} [{variant}]", dataset, tuple(map(str, names)))
        for (model, variant, dataset), names in found.items()
        if names
    ]
