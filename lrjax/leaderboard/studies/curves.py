"""Accuracy against resolution, by family."""

import numpy as np

from lrjax.display.charts import OWN, Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import groups, percent, resolution_axis, resolution_positions, shown
from lrjax.leaderboard.studies.study import Study

NAME = "curves"
TITLE = "Accuracy against resolution by family"


def study(board: Leaderboard) -> Study:
    """Compares the mean accuracy of the families at every resolution.

    Args:
        board: the leaderboard; own runs are drawn in the panel of their family and counted nowhere.

    Reference: arXiv 2502.03950, Figures 1 and 17.
    """
    published = board.published
    accuracy = np.stack([percent(board, "acc", resolution) for resolution in board.resolutions], axis=1)  # [M, R]
    war = np.stack([percent(published, "war", resolution) for resolution in board.resolutions], axis=1)
    members = {
        family: [number for number, entry in enumerate(published.entries) if entry.family == family]
        for family in published.families
    }
    numbers = [board.find(name) for name in published.names]
    lines = [
        (family, len(chosen), *accuracy[numbers][chosen].mean(axis=0).tolist(), *war[chosen].mean(axis=0).tolist())
        for family, chosen in members.items()
    ]
    lines.sort(key=lambda line: line[2], reverse=True)
    header = ("Family", "Models", *(f"{name}-{shown(r)}" for name in ("ACC", "WAR") for r in board.resolutions))
    note = f" {board.note.capitalize()}." if board.note else ""
    table = Table(
        "Families by resolution",
        f"Means over the models of a family, percent.{note}",
        header,
        tuple(lines),
        labels=1,
        group=len(board.resolutions),
    )
    lowest = board.resolutions[0]
    drops = accuracy[numbers, board.resolutions.index("hr")] - accuracy[numbers, board.resolutions.index(lowest)]
    findings = []
    if len(drops) >= 4:
        estimate = evidence.over_models(lambda rows: drops[rows].mean(axis=1), len(drops))
        findings.append(
            evidence.finding(
                estimate,
                claim=f"Zero-shot accuracy breaks down at {lowest} x {lowest} pixels, in all families.",
                source="Figure 1",
                measure=f"Mean of ACC-HR minus ACC-{lowest} over the models, points; it is positive for "
                f"{(drops > 0).sum()} of {len(drops)} and least for {published.names[int(drops.argmin())]} "
                f"({drops.min():.1f})",
                expected=1,
                rule=evidence.MODELS_RULE,
            )
        )
    text = (
        "Top-1 accuracy, averaged over the data sets, at every resolution: each model as a thin line, the mean of its "
        "family in bold. HR is the input size of the model, 224 pixels or more. Own runs, if any, are dashed and not "
        "part of any mean."
    )
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=(_families(board, accuracy), _means(board, members, accuracy[numbers])),
        tables=(table,),
        findings=tuple(findings),
    )


def _families(board: Leaderboard, accuracy: np.ndarray) -> Chart:
    x = resolution_positions(board)
    panels = []
    for family in board.families:
        series = []
        chosen = [number for number, entry in enumerate(board.entries) if entry.family == family]
        for number in chosen:
            entry = board.entries[number]
            series.append(
                Series(
                    name=entry.name,  # not beside its line, which would narrow all panels of the column
                    x=x,
                    y=accuracy[number],
                    group=OWN if entry.own else family,
                    emphasis="strong" if entry.own else "faint",
                    dashed=entry.own,
                    marker="circle" if entry.own else "",
                )
            )
        mean = [number for number in chosen if not board.entries[number].own]
        if mean:
            series.append(
                Series(name=f"mean of {family}", x=x, y=accuracy[mean].mean(axis=0), group=family, emphasis="strong")
            )
        panels.append(Panel(title=OWN if family == "own" else family, series=series))
    return Chart(
        name="curves-families",
        title="Accuracy against resolution, one line per model",
        alt="Mean top-1 accuracy against resolution: a panel per family, a thin line per model and their mean in bold.",
        panels=panels,
        x=resolution_axis(board),
        y=Axis(label="mean top-1, %", limits=(0, 100)),
        groups=board.published.families,
    )


def _means(board: Leaderboard, members: dict[str, list[int]], accuracy: np.ndarray) -> Chart:
    x = resolution_positions(board)
    series = [
        Series(name=family, x=x, y=accuracy[chosen].mean(axis=0), group=family) for family, chosen in members.items()
    ]
    return Chart(
        name="curves-means",
        title="Mean accuracy of the families",
        alt=f"Mean top-1 accuracy against resolution, one line for each of {len(members)} families.",
        panels=[Panel(title="", series=series)],
        x=resolution_axis(board),
        y=Axis(label="mean top-1, %", limits=(0, 100)),
        groups=groups(board),
    )
