"""The leaderboard and the place of one model on it, as tables."""

from collections.abc import Collection

import numpy as np

from lrjax.display.tables import Table, parameter_count
from lrjax.leaderboard.board import METRICS, Leaderboard
from lrjax.leaderboard.scores import weighing


def leaderboard_table(
    board: Leaderboard,
    metric: str = "war",
    resolution: int | str = 16,
    *,
    top: int | None = None,
    families: Collection[str] | None = None,
) -> Table:
    """Ranks the entries of a leaderboard, to be read.

    Args:
        board: the leaderboard.
        metric: "acc", "sar" or "war", to rank by.
        resolution: resolution of the scores, in pixels or "hr".
        top: how many lines, the best first; default all.
        families: which families to show; "own" are the own runs. Ranks are still those among all entries.

    Returns:
        The table, scores in percent; None where a run was not evaluated.

    Raises:
        UserError: the metric or the resolution is unknown.
    """
    ranked = _ranked(board, metric, resolution, top, families)
    scores = {name: board.score(name, resolution) for name in METRICS}
    label = str(resolution).upper()
    header = ("#", "Model", "Family", *(f"{name.upper()}-{label}" for name in METRICS), "Params", "Input")
    lines = []
    for number, rank in ranked.items():
        entry = board.entries[number]
        size = None if entry.image_size is None else f"{entry.image_size}{'' if entry.native_hr else '*'}"
        values = [_percent(scores[name][number]) for name in METRICS]
        lines.append((rank, entry.name, entry.family, *values, parameter_count(entry.parameters), size))
    caption = _caption(board, f"{len(board.entries)} models, ranked by {metric.upper()}-{label}")
    if any(not board.entries[number].native_hr for number in ranked):
        caption += " *: HR accuracy of images that were resized to 224 pixels first."
    caption = " ".join([caption, *(sentence for number in ranked for sentence in board.notes(number))])
    return Table(f"Leaderboard by {metric.upper()}-{label}", caption, header, tuple(lines), labels=3)


def leaderboard_data(
    board: Leaderboard,
    metric: str = "war",
    resolution: int | str = 16,
    *,
    top: int | None = None,
    families: Collection[str] | None = None,
) -> Table:
    """Ranks the entries of a leaderboard, to be computed with: all scores, plain names and numbers.

    Args:
        board: the leaderboard.
        metric: as `leaderboard_table`.
        resolution: likewise.
        top: likewise.
        families: likewise.

    Returns:
        The table, scores in percent.

    Raises:
        UserError: as `leaderboard_table`.
    """
    ranked = _ranked(board, metric, resolution, top, families)
    columns = [(name, at) for at in board.resolutions for name in METRICS]
    scores = {column: board.score(*column) for column in columns}
    facts = ("family", "backbone", "parameters", "image_size", "gflops", "data", "pairs", "finetuned")
    header = ("rank", "model", "own", "native_hr", *facts, *(f"{name}{at}" for name, at in columns), "incomplete")
    lines = []
    for number, rank in ranked.items():
        entry = board.entries[number]
        known = [getattr(entry, fact) for fact in facts]
        values = [_percent(scores[column][number]) for column in columns]
        flags = (str(entry.own).lower(), str(entry.native_hr).lower())
        incomplete = "; ".join(f"{dataset} {text}" for dataset, text in entry.incomplete) or None
        lines.append((rank, entry.name, *flags, *known, *values, incomplete))
    return Table("Leaderboard", _caption(board, "all scores"), header, tuple(lines), labels=2)


def model_table(board: Leaderboard, number: int) -> Table:
    """Lists top-1 of one entry by data set and resolution, with its robustness at the lowest resolution.

    Args:
        board: the leaderboard.
        number: the entry, see `Leaderboard.find`.

    Returns:
        The table, in percent; a last column names resolutions whose published figure is doubtful, if there is one.
    """
    lowest = board.resolutions[0]
    gamma, improved = board.relative(lowest)[number], board.improved(lowest)[number]
    labels = [str(resolution).upper() for resolution in board.resolutions]
    name = board.entries[number].name
    suspects = {(dataset, at) for model, dataset, at in board.suspects if model == name}
    header = ("Data set", *labels, f"gamma-{lowest}", f"Gamma-{lowest}", *(["Doubtful"] if suspects else []))
    lines = []
    for column, dataset in enumerate(board.datasets):
        values = [_percent(value) for value in (*board.top1[number, column], gamma[column], improved[column])]
        doubtful = [label for label, at in zip(labels, board.resolutions, strict=True) if (dataset, at) in suspects]
        lines.append((dataset, *values, *([" ".join(doubtful)] if suspects else [])))
    caption = (
        "Top-1 in percent; gamma: share of the HR accuracy that is left; Gamma: gamma, discounted near chance, alike "
        "above and below."
    )
    caption = " ".join([caption, *board.notes(number)])
    places = []
    for metric in METRICS:
        place = board.ranks(metric, lowest)[number]
        if np.isfinite(place):
            places.append(f"{place:.0f} by {metric.upper()}-{lowest}")
    if places:
        caption += f" Place among {int(board.complete.sum())}: {', '.join(places)}."
    return Table(name, caption, header, tuple(lines), labels=1)


def _ranked(
    board: Leaderboard, metric: str, resolution: int | str, top: int | None, families: Collection[str] | None
) -> dict[int, int | None]:
    """The rank of each chosen entry, None where a run was not evaluated, the best first."""
    ranks, numbers = board.ranks(metric, resolution), board.order(metric, resolution)
    if families is not None:
        entries = board.entries
        numbers = [i for i in numbers if entries[i].family in families or (entries[i].own and "own" in families)]
    return {number: None if np.isnan(ranks[number]) else int(ranks[number]) for number in numbers[:top]}


def _percent(value: float) -> float | None:
    return None if np.isnan(value) else 100 * float(value)


def _caption(board: Leaderboard, total: str) -> str:
    parts = [f"Percent; {total}", *([board.note] if board.note else []), weighing(board.weights, board.datasets)]
    return "; ".join(parts) + "."
