"""Accuracy on a hard set by the data set that its images come from."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lrjax.data.reopen import open_again
from lrjax.display.tables import Estimate, Table
from lrjax.errors import UserError
from lrjax.leaderboard.completeness import footnote, marked, shortfall, shortfalls
from lrjax.leaderboard.scores import accuracies_of
from lrjax.metrics.intervals import accuracy_interval, right
from lrjax.results.row import Row


def origins_table(rows: Sequence[Row], samples: Callable[[str], Mapping[str, np.ndarray] | None]) -> Table:
    """Splits accuracies by the data sets that the images of a set come from.

    Args:
        rows: result rows; those of other metrics than "acc1", and of data sets whose images tell no origin, are passed
            over.
        samples: gives the per-image arrays of a key, or None.

    Returns:
        The table, in percent with 95 % intervals.

    Raises:
        UserError: no row is on images that tell their origin, or images or arrays are missing.
    """
    lines, missing, found, origins_of = [], [], {}, {}
    for row in accuracies_of(rows):
        if row.test_set not in origins_of:
            source = open_again(row.extra.get("images"))[1]
            origins_of[row.test_set] = source.origins
        if (origins := origins_of[row.test_set]) is None:
            continue
        arrays = samples(row.key)
        if arrays is None:
            raise UserError(f"the per-image arrays of {row.model} on {row.test_set} are missing; evaluate again")
        hits, names = right(arrays), np.asarray(origins)[np.sort(arrays["index"])]
        for origin in ("all", *dict.fromkeys(names.tolist())):
            part = hits if origin == "all" else hits[names == origin]
            accuracy = Estimate(*(100 * float(value) for value in (part.mean(), *accuracy_interval(part))))
            lines.append((row.model, row.variant, row.test_set, str(row.resolution), origin, len(part), accuracy))
            missing.append(shortfall(row))
        found.setdefault(row.model, {}).update(shortfalls([row]))
    if not lines:
        raise UserError("no result is on images that tell their origin, as those of a hard set do; evaluate on one")
    caption = "Top-1 in percent; in brackets Wilson's 95 % interval over images."
    table = Table(
        title="Accuracy by origin",
        caption=" ".join([caption, *footnote(found)]),
        header=("Model", "Variant", "Data set", "At", "Origin", "Images", "Top-1"),
        rows=tuple(lines),
        labels=5,
    )
    return marked(table, missing)
