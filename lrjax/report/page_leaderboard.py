"""The page of the leaderboard: its table, and mean accuracy against resolution."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from lrjax.display.charts import OWN, Chart
from lrjax.leaderboard.board import METRICS
from lrjax.leaderboard.studies.figures import dataset_title, shown
from lrjax.report.page_charts import accuracy_curves
from lrjax.report.page_parts import Site, group

SHOWN = tuple(reversed(METRICS))
"""WAR first: a narrow screen shows the first columns."""


def leaderboard_page(site: Site) -> Mapping[str, Any]:
    """Returns what the template of the leaderboard shows."""
    board = site.board
    columns = [
        {
            "key": f"{metric}-{shown(resolution).lower()}",
            "metric": metric.upper(),
            "resolution": shown(resolution).lower(),
            "default": metric == "war" and resolution == site.lowest,
        }
        for resolution in board.resolutions
        for metric in SHOWN
    ]
    counts = Counter(map(group, board.entries))
    return {
        "columns": columns,
        "rows": [_row(site, number) for number in site.order],
        "groups": [(name, counts[name]) for name in site.groups],
        "own": counts[OWN],
        "published": len(board.entries) - counts[OWN],
        "resized": sum(not entry.native_hr for entry in board.entries),
        "chart": _curves(site),
        "datasets": [_dataset(site, column) for column in range(len(board.datasets))],
    }


def _row(site: Site, number: int) -> Mapping[str, Any]:
    entry = site.board.entries[number]
    return {
        "entry": entry,
        "group": group(entry),
        "rank": site.score(number, "war", site.lowest).rank,
        "scores": [
            site.score(number, metric, resolution).value for resolution in site.board.resolutions for metric in SHOWN
        ],
        "text": " ".join([entry.name, group(entry), entry.family, entry.data, entry.backbone]).lower(),
    }


def _dataset(site: Site, column: int) -> Mapping[str, Any]:
    board = site.board
    name = board.datasets[column]
    published = np.array([not entry.own for entry in board.entries])
    lowest, highest = (
        float(np.nanmedian(board.accuracy(resolution)[published, column])) if published.any() else np.nan
        for resolution in (site.lowest, board.resolutions[-1])
    )
    return {"name": name, "title": dataset_title(name), "lowest": lowest, "highest": highest}


def _curves(site: Site) -> Chart:
    board = site.board
    means = np.stack([board.score("acc", resolution) for resolution in board.resolutions], axis=-1)  # [M, R]
    title = f"Mean top-1 accuracy over {len(board.datasets)} data sets against resolution"
    return accuracy_curves(site, means, name="mean-accuracy", title=title, what="mean top-1")
