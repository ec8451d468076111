"""The leaderboard and the place of one model on it, as tables."""

from collections.abc import Collection

import numpy as np

from lrjax.leaderboard import METRICS, Leaderboard
from lrjax.runs import weighing
from lrjax.tables import Table, parameter_count


def leaderboard_table(
    board: Leaderboard,
    metric: str = "war",
    resolution: int | str = 16,
    *,
    top: int | None = None,
    families: Collection[str] | None = None,
) -> Table:
    """Ranks the entries of a leaderboard.

    Args:
        board: the leaderboard.
        metric: "acc", "sar" or "war", to rank by.
        resolution: resolution of the scores, in pixels or "hr".
        top: how many lines, the best first; default all.
        families: which families to show; ranks are still those among all entries.

    Returns:
        The table, scores in percent; None where a run was not evaluated.

    Raises:
        UserError: the metric or the resolution is unknown.
    """
    ranks, numbers = board.ranks(metric, resolution), board.order(metric, resolution)
    if families is not None:
        numbers = [number for number in numbers if board.entries[number].family in families]
    scores = {name: board.score(name, resolution) for name in METRICS}
    label = str(resolution).upper()
    header = ("Rank", "Model", *(f"{name.upper()}-{label}" for name in METRICS), "Family", "Parameters", "Input")
    lines = []
    for number in numbers[:top]:
        entry = board.entries[number]
        rank = None if np.isnan(ranks[number]) else int(ranks[number])
        values = [_percent(scores[name][number]) for name in METRICS]
        mark = "" if entry.native_hr else "*"
        facts = entry.family, parameter_count(entry.parameters), entry.image_size
        lines.append((rank, entry.name + mark, *values, *facts))
    total = f"{len(board.entries)} models, ranked by {metric.upper()}-{label}"
    caption = _caption(board, total)
    if any(not board.entries[number].native_hr for number in numbers[:top]):
        caption += " *: HR accuracy of images that were resized to 224 pixels first."
    return Table(f"Leaderboard by {metric.upper()}-{label}", caption, header, tuple(lines), labels=2)


def model_table(board: Leaderboard, number: int) -> Table:
    """Lists top-1 of one entry by data set and resolution, with its robustness at the lowest resolution.

    Args:
        board: the leaderboard.
        number: the entry, see `Leaderboard.find`.

    Returns:
        The table, in percent.
    """
    lowest = board.resolutions[0]
    gamma, improved = board.relative(lowest)[number], board.improved(lowest)[number]
    header = (
        "Data set",
        *(str(resolution).upper() for resolution in board.resolutions),
        f"gamma-{lowest}",
        f"Gamma-{lowest}",
    )
    name = board.entries[number].name
    lines = []
    for column, dataset in enumerate(board.datasets):
        values = [_percent(value) for value in (*board.top1[number, column], gamma[column], improved[column])]
        doubtful = any((name, dataset, resolution) in board.suspects for resolution in board.resolutions)
        lines.append((dataset + "†" * doubtful, *values))
    caption = "Top-1 in percent; gamma: share of the HR accuracy that is left; Gamma: gamma, discounted near chance."
    if any("†" in line[0] for line in lines):
        caption += " †: a published figure of this line is doubtful."
    places = []
    for metric in METRICS:
        place = board.ranks(metric, lowest)[number]
        if np.isfinite(place):
            places.append(f"{place:.0f} by {metric.upper()}-{lowest}")
    if places:
        caption += f" Place among {len(board.entries)}: {', '.join(places)}."
    return Table(name, caption, header, tuple(lines), labels=1)


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else 100 * float(value)


def _caption(board: Leaderboard, total: str) -> str:
    parts = [f"Percent; {total}"]
    if board.note:
        parts.append(board.note)
    parts.append(weighing(board.weights, board.datasets))
    return "; ".join(parts) + "."
