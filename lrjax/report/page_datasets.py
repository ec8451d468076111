"""The page of a data set: what it is, and how every model fares on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrjax.data.datasets import get_dataset
from lrjax.display.charts import Chart
from lrjax.leaderboard.studies.figures import dataset_title
from lrjax.report.page_charts import accuracy_curves
from lrjax.report.page_parts import Site, group, magnitude, percent


def dataset_page(site: Site, column: int) -> Mapping[str, Any]:
    """Returns what the template of a data set page shows.

    Args:
        site: the leaderboard.
        column: the data set.
    """
    board = site.board
    name = board.datasets[column]
    lowest = board.accuracy(site.lowest)[:, column]
    ranked = np.array([site.accuracy_rank(number, column) is not None for number in range(len(lowest))])
    order = np.lexsort((-lowest, ~ranked)).tolist()
    suspects = {(m, r): reason for (m, d, r), reason in board.suspects.items() if d == name and m in board.names}
    return {
        "name": name,
        "title": dataset_title(name),
        "facts": _facts(site, column),
        "spread": _spread(site, column),
        "lines": [_line(site, number, column, suspects) for number in order],
        "suspects": [
            f"{model}: {reason}" for model, reason in dict.fromkeys((m, why) for (m, _), why in suspects.items())
        ],
        "previous": board.datasets[column - 1] if column else None,
        "next": board.datasets[column + 1] if column + 1 < len(board.datasets) else None,
        "chart": _curves(site, column),
    }


def _facts(site: Site, column: int) -> list[tuple[str, str]]:
    board = site.board
    dataset = get_dataset(board.datasets[column])
    counted, total = board.classes[dataset.name], sum(abs(weight) for weight in board.weights.values())
    classes = str(counted)
    if counted != len(dataset.classes):
        classes += f" counted for chance, as published; the data set has {len(dataset.classes)}"
    weight = board.weights[dataset.name]
    share = f" ({100 * abs(weight) / total:.1f} % of all)" if total else ""
    return [
        ("Key", dataset.name),
        ("Kind", ", ".join(dataset.group)),
        ("Classes", classes),
        ("Test images", f"{dataset.expected_count:,}" if dataset.expected_count else ""),
        ("Chance", f"{percent(1 / counted)} %"),
        ("WAR weight", f"{weight:.3g}{share}"),
    ]


def _spread(site: Site, column: int) -> list[tuple[str, list[float]]]:
    published = site.board.top1[[not entry.own for entry in site.board.entries], column]  # [M, R]
    if not len(published):
        return []
    return [
        ("Best", np.nanmax(published, axis=0).tolist()),
        ("Median", np.nanmedian(published, axis=0).tolist()),
        ("Lowest", np.nanmin(published, axis=0).tolist()),
    ]


def _line(site: Site, number: int, column: int, suspects: Mapping[tuple[str, int | str], str]) -> Mapping[str, Any]:
    board = site.board
    entry = board.entries[number]
    values = zip(board.resolutions, board.top1[number, column].tolist(), strict=True)
    return {
        "entry": entry,
        "group": group(entry),
        "parameters": magnitude(entry.parameters),
        "rank": site.accuracy_rank(number, column),
        "unranked": board.datasets[column] in dict(entry.incomplete),
        "values": [(value, suspects.get((entry.name, resolution), "")) for resolution, value in values],
        "relative": float(site.relative[number, column]),
        "improved": float(site.improved[number, column]),
    }


def _curves(site: Site, column: int) -> Chart:
    name = site.board.datasets[column]
    return accuracy_curves(
        site,
        site.board.top1[:, column],
        name="accuracy",
        title=f"Top-1 accuracy on {dataset_title(name)} against resolution",
        what="top-1",
        chance=1 / site.board.classes[name],
    )
