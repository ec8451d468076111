"""The page of a data set: what it is, and how every model fares on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lrjax.charts import Axis, Chart, Panel, Series
from lrjax.data.datasets import get_dataset
from lrjax.report.page_parts import Site, dataset_title, group, magnitude, percent, pixels


def dataset_page(site: Site, column: int) -> Mapping[str, Any]:
    """Returns what the template of a data set page shows.

    Args:
        site: the leaderboard.
        column: the data set.
    """
    board = site.board
    name = board.datasets[column]
    lowest = board.accuracy(site.lowest)[:, column]
    order = np.argsort(-lowest, kind="stable").tolist()
    suspects = {(m, r): reason for (m, d, r), reason in board.suspects.items() if d == name and m in board.names}
    return {
        "name": name,
        "title": dataset_title(name),
        "facts": _facts(site, column),
        "spread": _spread(site, column),
        "lines": [_line(site, number, column, lowest, suspects) for number in order],
        "suspects": [
            f"{model}: {reason}" for model, reason in dict.fromkeys((m, why) for (m, _), why in suspects.items())
        ],
        "previous": board.datasets[column - 1] if column else None,
        "next": board.datasets[column + 1] if column + 1 < len(board.datasets) else None,
        "chart": accuracy_curves(site, column),
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


def _line(
    site: Site, number: int, column: int, lowest: np.ndarray, suspects: Mapping[tuple[str, int | str], str]
) -> Mapping[str, Any]:
    board = site.board
    entry = board.entries[number]
    values = zip(board.resolutions, board.top1[number, column].tolist(), strict=True)
    return {
        "entry": entry,
        "group": group(entry),
        "parameters": magnitude(entry.parameters),
        "rank": None if np.isnan(lowest[number]) else int((lowest > lowest[number]).sum()) + 1,
        "values": [(value, suspects.get((entry.name, resolution), "")) for resolution, value in values],
        "relative": float(site.relative[number, column]),
        "improved": float(site.improved[number, column]),
    }


def accuracy_curves(site: Site, column: int) -> Chart:
    """Returns top-1 on one data set against resolution, one line per entry, with the level of chance.

    Args:
        site: the leaderboard.
        column: the data set.
    """
    board = site.board
    name = board.datasets[column]
    chance = 1 / board.classes[name]
    series = [
        Series(
            name=entry.name,
            group=group(entry),
            x=site.resolution_positions(),
            y=[100 * value for value in line],
            labels=[f"{entry.name}\n{pixels(r)}: {percent(v)} %" for r, v in zip(board.resolutions, line, strict=True)],
            emphasis="strong" if entry.own else "normal",
            marker="star" if entry.own else "circle",
        )
        for entry, line in zip(board.entries, board.top1[:, column].tolist(), strict=True)
    ]
    return Chart(
        name="accuracy",
        title=f"Top-1 accuracy on {dataset_title(name)} against resolution",
        panels=[Panel(title="", series=series, level=100 * chance, level_name=f"chance, {percent(chance)} %")],
        x=site.resolution_axis(),
        y=Axis(label="top-1, percent", limits=(0, 100)),
        alt=(
            f"Top-1 accuracy of {len(board.entries)} models on {dataset_title(name)} at "
            f"{', '.join(map(pixels, board.resolutions))}."
        ),
        columns=1,
        groups=site.groups,
    )
