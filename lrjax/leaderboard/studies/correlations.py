"""How well the aggregates of robustness rank the models as each data set does."""

import numpy as np

from lrjax.display.tables import Table
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import dataset_title, dots, low_resolutions
from lrjax.leaderboard.studies.study import Finding, Study
from lrjax.metrics import ranking

NAME = "correlations"
TITLE = "Agreement of SAR and WAR with each data set"
MEAN, WAR, SAR = "mean of Gamma", "WAR", "SAR (mean of gamma)"
_HARD = ("eurosat", "imagenet_a")


def study(board: Leaderboard) -> Study:
    """Correlates three aggregates of robustness with the improved robustness Gamma on each data set.

    Args:
        board: the leaderboard; own runs do not take part.

    Reference: arXiv 2502.03950, Figures 4, 5 and 24, Table 11.
    """
    board = board.published
    if len(board.entries) < 4:
        text = f"Correlations over models need at least four published models; here are {len(board.entries)}."
        return Study(name=NAME, title=TITLE, text=text, charts=(), tables=(), findings=())
    resolutions = low_resolutions(board)
    found = {resolution: _correlations(board, resolution) for resolution in resolutions}
    lowest = resolutions[0]
    chart = dots(
        name="correlations-datasets",
        title="Spearman correlation of the aggregates with each data set, over models",
        alt="Spearman correlation of three aggregates with each data set as points, one panel per resolution.",
        label="Spearman correlation",
        categories=[*map(dataset_title, board.datasets)],
        panels={f"{resolution} pixels": values for resolution, values in found.items()},
        decimals=3,
    )
    text = (
        "A good aggregate ranks the models as each data set does. For each data set the models are ranked by their "
        "improved robustness Gamma on it, and by three aggregates: the plain mean of Gamma, which Table 11 of the "
        "paper calls SAR, the weighted mean WAR, and SAR proper, the mean of gamma without the discount near chance. "
        f"{len(board.entries)} published models; own runs do not take part."
    )
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=(chart,),
        tables=(_lowest_table(board, lowest, found[lowest]), _means_table(board, found)),
        findings=_findings(board, lowest),
    )


def _aggregates(board: Leaderboard, resolution: int) -> dict[str, np.ndarray]:
    return {
        MEAN: board.improved(resolution).mean(axis=1),
        WAR: board.score("war", resolution),
        SAR: board.score("sar", resolution),
    }


def _correlations(board: Leaderboard, resolution: int) -> dict[str, np.ndarray]:
    improved = board.improved(resolution)
    return {
        name: ranking.dataset_correlations(values, improved, datasets=board.datasets)
        for name, values in _aggregates(board, resolution).items()
    }


def _difference(board: Leaderboard, resolution: int, datasets: tuple[str, ...]) -> evidence.Estimate:
    aggregates = _aggregates(board, resolution)
    columns = [board.datasets.index(name) for name in datasets]
    return evidence.correlation_difference(aggregates[WAR], aggregates[MEAN], board.improved(resolution)[:, columns])


def _lowest_table(board: Leaderboard, resolution: int, found: dict[str, np.ndarray]) -> Table:
    lines = []
    for number, name in enumerate(board.datasets):
        difference = evidence.interval_text(_difference(board, resolution, (name,)))
        lines.append((name, *(f"{found[key][number]:.5f}" for key in (MEAN, WAR, SAR)), difference))
    mean = evidence.interval_text(_difference(board, resolution, board.datasets))
    lines.append(("mean", *(f"{found[key].mean():.5f}" for key in (MEAN, WAR, SAR)), mean))
    caption = (
        f"Spearman correlation over {len(board.entries)} models with Gamma-{resolution} of the data set. The last "
        "column is WAR minus mean of Gamma, with the 95 % bootstrap interval over models."
    )
    header = ("Data set", MEAN, WAR, SAR, "WAR minus mean")
    return Table(f"Agreement with each data set at {resolution} pixels", caption, header, tuple(lines), labels=1)


def _means_table(board: Leaderboard, found: dict[int, dict[str, np.ndarray]]) -> Table:
    columns = {"mean": slice(None)} | {name: board.datasets.index(name) for name in _HARD if name in board.datasets}
    header, lines = ["Resolution"], []
    header += [f"{dataset_title(name)}: {key}" for name in columns for key in (MEAN, WAR, SAR)]
    for resolution, values in found.items():
        cells = [f"{np.mean(values[key][chosen]):.5f}" for chosen in columns.values() for key in (MEAN, WAR, SAR)]
        lines.append((str(resolution), *cells))
    caption = "Spearman correlation, averaged over the data sets and for the two that agree least."
    return Table("Agreement by resolution", caption, tuple(header), tuple(lines), labels=1, group=3)


def _findings(board: Leaderboard, resolution: int) -> tuple[Finding, ...]:
    if len(board.datasets) < 2:
        return ()
    findings = []
    for name in _HARD:
        if name not in board.datasets:
            continue
        findings.append(
            evidence.finding(
                _difference(board, resolution, (name,)),
                claim=f"WAR agrees better with {dataset_title(name)} than the plain mean of Gamma does.",
                source="Figure 4, Table 11",
                measure=f"Spearman correlation with Gamma-{resolution} of {dataset_title(name)}: "
                f"{_change(board, resolution, (name,))}",
                expected=1,
                rule=evidence.MODELS_RULE,
            )
        )
    findings.append(
        evidence.finding(
            _difference(board, resolution, board.datasets),
            claim="The price of WAR is a slightly lower correlation with the data sets on average.",
            source="Section on WAR, Table 11",
            measure=f"Mean Spearman correlation with Gamma-{resolution} of {len(board.datasets)} data sets: "
            f"{_change(board, resolution, board.datasets)}",
            expected=-1,
            rule=evidence.MODELS_RULE,
        )
    )
    return tuple(findings)


def _change(board: Leaderboard, resolution: int, datasets: tuple[str, ...]) -> str:
    found = _correlations(board, resolution)
    columns = [board.datasets.index(name) for name in datasets]
    before, after = (found[key][columns].mean() for key in (MEAN, WAR))
    return f"{before:.3f} for the mean, {after:.3f} for WAR; the number is the difference"
