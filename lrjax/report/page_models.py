"""The page of a model: what it is, where it stands, and how it fares on every data set."""

import math
from collections.abc import Mapping
from typing import Any

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.leaderboard.board import METRICS, Entry
from lrjax.leaderboard.scores import HIGH_RESOLUTION
from lrjax.leaderboard.studies.figures import dataset_title
from lrjax.report.page_parts import Site, gigaflops, magnitude, percent, sparkline

SPARK = (112, 32)


def model_page(site: Site, number: int) -> Mapping[str, Any]:
    """Returns what the template of a model page shows.

    Args:
        site: the leaderboard.
        number: the model.
    """
    board = site.board
    entry = board.entries[number]
    place = site.order.index(number)
    suspects = {
        (dataset, resolution): reason
        for (name, dataset, resolution), reason in board.suspects.items()
        if name == entry.name and dataset in board.datasets
    }
    return {
        "entry": entry,
        "facts": _facts(entry),
        "rank": site.score(number, "war", site.lowest),
        "ranked": site.ranked("war", site.lowest),
        "places": [
            (metric, [_place(site, number, metric, resolution) for resolution in board.resolutions])
            for metric in reversed(METRICS)
        ],
        "previous": site.order[place - 1] if place else None,
        "next": site.order[place + 1] if place + 1 < len(site.order) else None,
        "lines": [_line(site, number, column, suspects) for column in range(len(board.datasets))],
        "suspects": [
            f"{dataset_title(dataset)}: {reason}"
            for dataset, reason in dict.fromkeys((dataset, reason) for (dataset, _), reason in suspects.items())
        ],
        "spark": SPARK,
        "chart": against_the_field(site, number),
    }


def _place(site: Site, number: int, metric: str, resolution: int | str) -> tuple[float, str]:
    score = site.score(number, metric, resolution)
    if (metric, resolution) == ("sar", HIGH_RESOLUTION) and math.isclose(score.value, 1):  # so for all, by definition
        return score.value, ""
    return score.value, "" if score.rank is None else f"{score.rank} / {site.ranked(metric, resolution)}"


def _facts(entry: Entry) -> list[tuple[str, str]]:
    towers = {"vit": "vision transformer", "resnet": "ResNet"}
    size = f"{entry.image_size} × {entry.image_size} pixels" if entry.image_size else ""  # noqa: RUF001
    native = "at the input size" if entry.native_hr else "first resized to 224 pixels"
    facts = [
        ("Family", entry.family if entry.family != "own" else ""),
        ("Backbone" if entry.source else "Weights", entry.backbone),
        ("Checkpoint", entry.source),
        ("Image tower", towers.get(entry.tower, entry.tower)),
        ("Input", size),
        ("Patch", f"{entry.patch} × {entry.patch} pixels" if entry.patch else ""),  # noqa: RUF001
        ("Parameters", "" if entry.parameters is None else f"{magnitude(entry.parameters)} ({entry.parameters:,})"),
        ("Pre-training data", entry.data),
        ("Image-text pairs", magnitude(entry.pairs * 1e6).replace(".0", "") if entry.pairs else ""),
        ("Compute", f"{gigaflops(entry.gflops)} GFLOPs per image, image tower" if entry.gflops else ""),
        ("Fine-tuned on", entry.finetuned),
        ("HR accuracy", native),
    ]
    return [(name, value) for name, value in facts if value]


def _line(site: Site, number: int, column: int, suspects: Mapping[tuple[str, int | str], str]) -> Mapping[str, Any]:
    board = site.board
    name = board.datasets[column]
    values = board.top1[number, column].tolist()
    low, _, high = site.accuracy_quartiles[:, column].tolist()
    top = max(value for value in (*high, *values) if not math.isnan(value))
    return {
        "dataset": name,
        "title": dataset_title(name),
        "values": [(value, suspects.get((name, r), "")) for r, value in zip(board.resolutions, values, strict=True)],
        "relative": float(site.relative[number, column]),
        "improved": float(site.improved[number, column]),
        "rank": site.accuracy_rank(number, column),
        "spark": sparkline(values, SPARK, top),
        "field": f"{sparkline(low, SPARK, top)} {sparkline(high, SPARK, top, backwards=True)}",
    }


def against_the_field(site: Site, number: int) -> Chart:
    """Returns relative robustness by data set of one model, against the quartiles of the published ones.

    Args:
        site: the leaderboard.
        number: the model.
    """
    board = site.board
    name = board.names[number]
    places = [float(column) for column in range(len(board.datasets))]
    low, middle, high = (100 * site.quartiles).tolist()
    own = (100 * site.relative[number]).tolist()
    titles = list(map(dataset_title, board.datasets))
    field = Series(
        name="published models: median and quartiles",
        x=middle,
        y=places,
        low=low,
        high=high,
        line=False,
        marker="square",
        labels=[
            f"{title}\nmedian {m:.1f} %, quartiles {a:.1f} to {b:.1f} %"
            for title, a, m, b in zip(titles, low, middle, high, strict=True)
        ],
    )
    line = Series(
        name=name,
        x=own,
        y=places,
        line=False,
        emphasis="strong",
        labels=[f"{name}\n{title}: {percent(value / 100)} % kept" for title, value in zip(titles, own, strict=True)],
    )
    return Chart(
        name="kept",
        title=f"Share of the HR accuracy that is left at {site.lowest} px",
        panels=[Panel(title="", series=[field, line])],
        x=Axis(label="percent", limits=(0, 100)),
        y=Axis(label="", ticks=dict(zip(places, titles, strict=True))),
        alt=f"Relative robustness of {name} at {site.lowest} px by data set, beside the quartiles of published models.",
        columns=1,
        horizontal=True,
    )
