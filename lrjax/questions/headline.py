"""The number that stands for a question, of every model and variant."""

from collections.abc import Sequence

import numpy as np

from lrjax.display.tables import Table, counted
from lrjax.leaderboard.completeness import footnote, marked, shortfalls
from lrjax.results.row import Row

_VANILLA = "vanilla"


def headline_table(title: str, metric: str, rows: Sequence[Row], *, higher_is_better: bool | None) -> Table:
    """Tabulates the mean of a metric over data sets by resolution, with the difference to the unmodified model.

    Args:
        title: of the table.
        metric: its name; rows of others are passed over.
        rows: results, one for each number.
        higher_is_better: whether more of it is better; None where that is not known.

    Returns:
        The table: a line per model and variant, and per question where there are several. A number is a dash where a
        data set of the table was not measured at the resolution.
    """
    chosen = [row for row in rows if row.metric == metric]
    values = {(row.question, row.model, row.variant, row.test_set, row.resolution): row.value for row in chosen}
    datasets = list(dict.fromkeys(row.test_set for row in chosen))
    resolutions = sorted({row.resolution for row in chosen}, key=lambda one: (isinstance(one, str), one))

    def mean(line: tuple[str, str, str], resolution: int | str) -> float | None:
        found = [values.get((*line, dataset, resolution)) for dataset in datasets]
        known = [value for value in found if value is not None]
        return float(np.mean(known)) if len(known) == len(found) else None

    lines = list(dict.fromkeys((row.question, row.model, row.variant) for row in chosen))
    labels = 3 if len({row.question for row in chosen}) > 1 else 2
    cells = []
    for question, model, variant in lines:
        other = None if variant == _VANILLA else (question, model, _VANILLA)
        numbers = [
            _shown(mean((question, model, variant), one), None if other is None else mean(other, one))
            for one in resolutions
        ]
        cells.append((*(question, model, variant)[-labels:], *numbers))
    caption = [f"Mean {metric} over {counted(len(datasets), 'data set')}, without intervals."]
    if higher_is_better is not None:
        caption.append(f"{'More' if higher_is_better else 'Less'} of it is better.")
    if any(variant != _VANILLA for *_, variant in lines):
        caption.append(f"In brackets the difference to {_VANILLA}.")
    models = dict.fromkeys(row.model for row in chosen)
    caption += footnote({model: shortfalls(row for row in chosen if row.model == model) for model in models})
    header = (*("Question", "Model", "Variant")[-labels:], *(str(one).upper() for one in resolutions))
    table = Table(title, " ".join(caption), header, tuple(cells), labels=labels, group=max(len(resolutions), 1))
    missing = [shortfalls(row for row in chosen if (row.question, row.model, row.variant) == line) for line in lines]
    return marked(table, [f"{len(one)} of {counted(len(datasets), 'data set')}" if one else None for one in missing])


def _shown(value: float | None, other: float | None) -> str | None:
    if value is None:
        return None
    return f"{value:.4f}" if other is None else f"{value:.4f} ({value - other:+.4f})"
