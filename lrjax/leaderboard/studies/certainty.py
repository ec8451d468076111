"""How sure the ranks by WAR are: among other models, on other data sets, for other alpha."""

import numpy as np

from lrjax.display.charts import OWN, Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import shown
from lrjax.leaderboard.studies.study import Finding
from lrjax.metrics import ranking
from lrjax.metrics.weights import WeightSearch

ALPHAS = (50.0, 100.0, 200.0, 500.0, 1000.0)
_STUDIED = (100.0, 500.0)
_CLOSE = 0.9
_TOP = 20


def rank_intervals(board: Leaderboard, resolution: int | str) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Finds 95 % intervals of the ranks by WAR, least and greatest rank by what is resampled.

    Args:
        board: a leaderboard without missing scores.
        resolution: of WAR.
    """
    improved, weights = board.improved(resolution), [board.weights[name] for name in board.datasets]
    found = {"other models": ranking.rank_intervals(improved, weights, seed=evidence.SEED)}
    if np.count_nonzero(weights) >= 3:
        found["other data sets"] = ranking.rank_intervals(improved, weights, over="datasets", seed=evidence.SEED)
    return found


def rank_chart(board: Leaderboard, resolution: int | str) -> Chart:
    """Describes the ranks of all entries with their intervals; arguments as `rank_intervals`."""
    ranks, order = board.ranks("war", resolution), board.order("war", resolution)
    names = [board.entries[number].name for number in order]
    own = np.array([board.entries[number].own for number in order])
    intervals, series = rank_intervals(board, resolution), []
    for shift, (name, (low, high)) in zip((-0.16, 0.16), intervals.items(), strict=False):
        for chosen, group in ((~own, name), (own, OWN)):
            places = np.flatnonzero(chosen)
            if not len(places):
                continue
            numbers = [order[place] for place in places]
            series.append(
                Series(
                    name=name if group == name else f"{OWN}, {name}",
                    group=group,
                    x=ranks[numbers],
                    y=places + shift,
                    low=low[numbers],
                    high=high[numbers],
                    line=False,
                    labels=[
                        f"{names[place]}\nrank {ranks[n]:.0f}, {low[n]} to {high[n]} with {name}"
                        for place, n in zip(places, numbers, strict=True)
                    ],
                    emphasis="strong" if group == OWN else "normal",
                )
            )
    return Chart(
        name="weights-ranks",
        title=f"Ranks by WAR-{shown(resolution)} with 95 % intervals",
        alt=f"The rank of each of {len(order)} models as a point, with its intervals as bars, the best at the top.",
        panels=[Panel(title="", series=series)],
        x=Axis(label="rank", limits=(0, len(order) + 1)),
        y=Axis(label="", ticks=dict(enumerate(names))),
        groups=tuple(intervals),
        horizontal=True,
    )


def rank_table(board: Leaderboard, found: WeightSearch | None, resolution: int | str) -> Table:
    """Lists the best entries and own runs with the intervals of their ranks.

    Args:
        board: a leaderboard without missing scores.
        found: weights to compare the ranks with, or None.
        resolution: of WAR.
    """
    ranks, war = board.ranks("war", resolution), 100 * board.score("war", resolution)
    intervals = rank_intervals(board, resolution)
    header = ["Rank", "Model", f"WAR-{shown(resolution)}", *(f"With {name}" for name in intervals)]
    caption = f"The best {_TOP} and own runs. WAR in percent; ranks with 95 % intervals."
    moved = None
    if found is not None:
        header.append("Rank, found weights")
        scores = ranking.weighted_scores([found.weights[name] for name in board.datasets], board.improved(resolution))
        moved = 1 + (scores[None] > scores[:, None]).sum(axis=1)
        steps = np.abs(moved - ranks)
        caption += (
            f" With the weights of the search {(steps > 0).sum()} of {len(ranks)} models change their rank, by "
            f"{steps.mean():.1f} places on average and {steps.max():.0f} at most "
            f"({board.names[int(steps.argmax())]})."
        )
    lines = []
    for place, number in enumerate(board.order("war", resolution)):
        if place < _TOP or board.entries[number].own:
            cells = [f"{low[number]} to {high[number]}" for low, high in intervals.values()]
            line = (int(ranks[number]), board.names[number], float(war[number]), *cells)
            lines.append(line if moved is None else (*line, int(moved[number])))
    return Table("Certainty of ranks", caption, tuple(header), tuple(lines), labels=2)


def _sensitivity(board: Leaderboard, resolution: int | str) -> ranking.AlphaSensitivity:
    return ranking.alpha_sensitivity(
        board.accuracy(resolution),
        board.reference,
        [board.classes[name] for name in board.datasets],
        [board.weights[name] for name in board.datasets],
        ALPHAS,
        baseline=board.alpha,
        datasets=board.datasets,
    )


def alpha_table(board: Leaderboard, resolution: int | str) -> Table:
    """Lists how the ranking changes with alpha; arguments as `rank_intervals`."""
    found = _sensitivity(board, resolution)
    columns = zip(found.alphas, found.spearman, found.kendall, found.changed, found.largest, strict=True)
    lines = [(f"{a:g}", f"{s:.4f}", f"{k:.4f}", int(changed), int(most)) for a, s, k, changed, most in columns]
    header = ("alpha", "Spearman", "Kendall", "Ranks changed", "Largest change")
    caption = f"Ranking by WAR-{shown(resolution)} for other alpha, against alpha = {board.alpha:g}."
    return Table("Sensitivity to alpha", caption, header, tuple(lines), labels=1)


def alpha_findings(board: Leaderboard, resolution: int | str) -> list[Finding]:
    """Asks whether the alpha that the paper uses rank alike, which it does not say; arguments as `rank_intervals`."""
    found, findings = _sensitivity(board, resolution), []
    baseline = board.score("war", resolution)
    for alpha, war in zip(found.alphas, found.war, strict=True):
        estimate = evidence.correlation(war, baseline) if alpha in _STUDIED else None
        if estimate is not None:
            findings.append(
                evidence.finding(
                    estimate,
                    claim=f"The ranking hardly depends on alpha: {alpha:g} ranks like {board.alpha:g}.",
                    source="our reading; arXiv 2502.03950 also uses alpha of 100 and 500",
                    measure=f"Spearman correlation of WAR-{shown(resolution)} at alpha = {alpha:g} with that at "
                    f"{board.alpha:g}, {estimate.n} models",
                    expected=1,
                    threshold=_CLOSE,
                    rule=evidence.MODELS_RULE,
                )
            )
    return findings
