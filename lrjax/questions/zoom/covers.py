"""Files of view sets: the cover of each model, found on one data set to be applied to others."""

import json
import os
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from lrjax.checks.files import read_text
from lrjax.checks.parse import parse_json
from lrjax.errors import UserError
from lrjax.metrics.zoom import VIEW_ANCHORS, VIEW_SCALES, view_index
from lrjax.ops.zoom import ANCHORS
from lrjax.questions.zoom.stored import ZoomTable
from lrjax.results.store import write_atomically

FORMAT = 1
"""Version of the layout of the file."""


def write_covers(
    path: str | os.PathLike, tables: Sequence[ZoomTable], sets: Sequence[Int[np.ndarray, "_"]], *, dataset: str
) -> None:
    """Writes the view set of every model.

    Args:
        path: the JSON file; each view is (row, column, scale).
        tables: what names the models; several tables of one model count once.
        sets: of `report.covers`, found on the data set.
        dataset: that data set.

    Raises:
        UserError: a set is empty.
    """
    found = {}
    for table, cover in zip(tables, sets, strict=True):
        if not len(cover):
            raise UserError(f"no crop of {table.name} is right on {dataset}, so it has no cover; leave the model out")
        views = [[*ANCHORS[VIEW_ANCHORS[view]], int(VIEW_SCALES[view])] for view in cover]
        found[table.model, table.variant] = {"model": table.model, "variant": table.variant, "views": views}
    lines = ",\n".join(f"  {json.dumps(one, ensure_ascii=False)}" for one in found.values())
    head = f'{{"format": {FORMAT}, "dataset": {json.dumps(dataset)}, "covers": [\n'
    write_atomically(path, f"{head}{lines}\n]}}\n")


def read_cover(path: str | os.PathLike, *, model: str, variant: str) -> Int[np.ndarray, "M"]:
    """Reads the view set of a model.

    Args:
        path: of `write_covers`.
        model: its name.
        variant: "vanilla", "lr_tk0", ...

    Returns:
        Columns of the tables in the order they were chosen, at least one.

    Raises:
        UserError: the file is missing or of another form, or has no set of the model.
    """
    try:
        content = parse_json(read_text(path))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {content['format']!r} instead of {FORMAT}")
        found = {(one["model"], one["variant"]): one["views"] for one in content["covers"]}
        views = found.get((model, variant))
        cover = None if views is None else np.array([view_index(*view) for view in views], np.intp)
    except OSError as error:
        raise UserError(f"the view sets '{path}' cannot be read ({error.strerror}); {_REMEDY}") from error
    except (KeyError, TypeError, ValueError, UserError) as error:
        raise UserError(f"'{path}' is no file of view sets ({error}); {_REMEDY}") from error
    if cover is None or not len(cover):
        known = ", ".join(f"{name} ({kind})" for name, kind in found) or "none"
        raise UserError(f"'{path}' has no view set of {model} ({variant}), only of: {known}; {_REMEDY}")
    return cover


_REMEDY = "write it with `python -m lrjax.questions.zoom RESULTS --covers FILE`"
