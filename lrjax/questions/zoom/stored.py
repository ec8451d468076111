"""Tables of correctness as the question "zoom" stores them: one bit per image and view."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from lrjax.errors import UserError
from lrjax.leaderboard.completeness import MARK, shortfall
from lrjax.ops.zoom import VIEWS
from lrjax.results.row import Row
from lrjax.results.store import ResultStore, told_apart

KIND = "zoom"
"""The kind of question whose rows are read."""

_BYTES = -(-VIEWS // 8)
_OPTIONAL = {"guesses": "guess"} | {name: name for name in ("confidence", "crops", "centre", "aggregated")}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ZoomTable:
    """What one model gets right on one data set.

    Attributes:
        model: its name.
        variant: "vanilla", "lr_tk0", ...
        dataset: key of the data set.
        classes: number of classes, None where the rows do not tell.
        correct: which views are right.
        index: positions of the images in the data set.
        labels: right classes, sets where an image has several.
        confidence: the probability of each view's guess, where it was stored.
        guesses: the class that each view is taken for, where it was stored.
        crops: guesses from five and ten crops (`CROPS`), -1 for none, where they were stored.
        centre: guesses from centre crops (`CENTRE_SCALES`), where they were stored.
        aggregated: guesses from a set of views (`AGGREGATES`), -1 for none, where they were stored.
        images: where the images are, for `data.reopen.open_again`; None where the rows do not tell.
        incomplete: how many of the images of the data set were seen, where not all were (`completeness.shortfall`).
    """

    model: str
    variant: str
    dataset: str
    classes: int | None
    correct: Bool[np.ndarray, "N 324"]
    index: Int[np.ndarray, "N"]
    labels: Int[np.ndarray, "N"] | Int[np.ndarray, "N M"]
    confidence: Float[np.ndarray, "N 324"] | None = None
    guesses: Int[np.ndarray, "N 324"] | None = None
    crops: Int[np.ndarray, "N 4"] | None = None
    centre: Int[np.ndarray, "N 11"] | None = None
    aggregated: Int[np.ndarray, "N 6"] | None = None
    images: Mapping[str, Any] | None = None
    incomplete: str | None = None

    @property
    def name(self) -> str:
        """Model and variant."""
        return self.model if self.variant == "vanilla" else f"{self.model} {self.variant}"

    @property
    def title(self) -> str:
        """The name as it is shown, with a mark where the table is incomplete."""
        return f"{self.name} {MARK}" if self.incomplete else self.name


def unpack(packed: np.ndarray) -> Bool[np.ndarray, "N 324"]:
    """Turns stored bits into a table.

    Args:
        packed: uint8 [N, 41], `numpy.packbits` of bool [N, 324] along its rows.

    Raises:
        UserError: the bits have another form.
    """
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] != _BYTES:
        raise UserError(
            f"the bits of the zoom views are {packed.dtype} {list(packed.shape)} instead of uint8 [images, {_BYTES}]; "
            "evaluate again"
        )
    return np.unpackbits(packed, axis=1, count=VIEWS).astype(bool)


def load_tables(directories: Sequence[str | os.PathLike], *, duplicates: str = "error") -> list[ZoomTable]:
    """Reads the tables in results directories.

    Args:
        directories: each with a `results.jsonl` and `samples`.
        duplicates: "error", or "newest" to take the last of several tables of one model, variant and data set.

    Returns:
        In the order in which they were stored, at least one.

    Raises:
        UserError: there is no table, one is damaged, or there are several of one kind.
    """
    found: list[ZoomTable] = []
    stores = [ResultStore(directory) for directory in directories]
    rows = iter(told_apart([row for store in stores for row in store.rows]))
    for directory, store in zip(directories, stores, strict=True):
        own = list(itertools.islice(rows, len(store.rows)))
        if not (tables := tables_of(own, store.samples, duplicates=duplicates, place=str(directory))):
            raise UserError(f"there are no results of the question {KIND!r} in {store.path}; evaluate with it first")
        found += tables
    return _distinct(found, duplicates)


def tables_of(
    rows: Sequence[Row],
    samples: Callable[[str], Mapping[str, np.ndarray] | None],
    *,
    duplicates: str = "error",
    place: str = "results",
) -> list[ZoomTable]:
    """Makes the tables of rows.

    Args:
        rows: result rows; those of other kinds are passed over.
        samples: gives the per-image arrays of a key, or None.
        duplicates: as in `load_tables`.
        place: what messages call the results.

    Returns:
        In the order of the rows.

    Raises:
        UserError: arrays are missing or damaged, or there are several tables of one kind.
    """
    newest = {(row.model, row.variant, row.key): row for row in rows if row.kind == KIND}
    tables = [_table(row, samples(row.key), f"{place}, key {row.key}") for row in newest.values()]
    return _distinct(tables, duplicates)


def _distinct(tables: Sequence[ZoomTable], duplicates: str) -> list[ZoomTable]:
    found: dict[tuple, ZoomTable] = {}
    for table in tables:
        kind = (table.model, table.variant, table.dataset)
        if kind in found and duplicates == "error":
            raise UserError(
                f"there are two zoom tables of {table.name} on {table.dataset}; name one directory, or use --newest"
            )
        found[kind] = table
    return list(found.values())


def _table(row: Row, samples: Mapping[str, np.ndarray] | None, place: str) -> ZoomTable:
    if samples is None or (missing := {"correct", "index", "label"} - samples.keys()):
        lacking = "any" if samples is None else ", ".join(sorted(missing))
        raise UserError(f"{place}: the stored arrays lack {lacking}; evaluate again")
    correct = unpack(samples["correct"])
    for name in ("index", "label", *_OPTIONAL.values()):
        if name in samples and len(samples[name]) != len(correct):
            raise UserError(
                f"{place}: there are {len(correct)} images but {len(samples[name])} of {name}; evaluate again"
            )
    if not len(correct):
        raise UserError(f"{place}: the table has no images; evaluate again")
    return ZoomTable(
        model=row.model,
        variant=row.variant,
        dataset=row.test_set,
        classes=row.extra.get("classes"),
        correct=correct,
        index=samples["index"],
        labels=samples["label"],
        **{field: samples.get(name) for field, name in _OPTIONAL.items()},
        images=row.extra.get("images"),
        incomplete=shortfall(row),
    )


def by_dataset(tables: Sequence[ZoomTable]) -> dict[str, list[ZoomTable]]:
    """Groups tables by data set, both in their order."""
    found: dict[str, list[ZoomTable]] = {}
    for table in tables:
        found.setdefault(table.dataset, []).append(table)
    return found


def common_images(tables: Sequence[ZoomTable]) -> list[Bool[np.ndarray, "N 324"]]:
    """Brings the tables of several models on one data set into one order.

    Args:
        tables: of one data set, at least one.

    Returns:
        Which views are right in each table, in the order of the images of the first.

    Raises:
        UserError: the tables are not of the same images.
    """
    first = tables[0]
    aligned = []
    for table in tables:
        order = np.argsort(table.index, kind="stable")
        contents = {(one.images or {}).get("fingerprint") for one in (first, table)} - {None}
        if len(contents) > 1 or not np.array_equal(np.sort(first.index), table.index[order]):
            raise UserError(
                f"{first.name} and {table.name} were not evaluated on the same images of {first.dataset}; evaluate "
                "both on the same"
            )
        places = np.searchsorted(table.index[order], first.index)
        aligned.append(table.correct[order][places])
    return aligned
