"""Which data sets are alike: those on which the same models are robust."""

from collections.abc import Sequence
from types import ModuleType
from typing import NamedTuple

import numpy as np

from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import dataset_title, number, shown
from lrjax.leaderboard.studies.study import Study

NAME = "datasets"
TITLE = "Groups of data sets"
CLUSTERS = 3
FEWEST_DATASETS = 6
_COUNTS = (2, 3, 4, 5)
_RESAMPLES = 200
_PERPLEXITY = 4.0


class Grouping(NamedTuple):
    """Groups of data sets.

    Attributes:
        labels: group of each data set, [D], integers from 0, the largest group first.
        stability: mean adjusted Rand index between the groups and those of resampled models, by number of groups.
        silhouettes: mean silhouette by number of groups, each with its bootstrap interval.
        margin: silhouette of three groups minus the best of another number.
    """

    labels: np.ndarray
    stability: dict[int, float]
    silhouettes: dict[int, evidence.Estimate]
    margin: evidence.Estimate


def study(board: Leaderboard) -> Study:
    """Groups the data sets by the models' robustness on them.

    Args:
        board: the leaderboard; own runs do not take part.

    Raises:
        UserError: scikit-learn is not installed.

    Reference: arXiv 2502.03950, Figure 7, middle.
    """
    board, resolution = board.published, board.resolutions[0]
    models, count = len(board.entries), len(board.datasets)
    if count < FEWEST_DATASETS or models < 4:
        text = f"Groups need at least {FEWEST_DATASETS} data sets and 4 models; here are {count} and {models}."
        return Study(name=NAME, title=TITLE, text=text, charts=(), tables=(), findings=())
    vectors = standardised(board.improved(resolution).T)
    groups = grouping(vectors)
    text = (
        f"Each data set is the vector of Gamma-{shown(resolution)} of {models} models. The distance is one minus the "
        f"correlation of two vectors, and average linkage joins the data sets to {CLUSTERS} groups, on the vectors "
        "themselves. t-SNE, which sees the same distances, only draws the picture: the lengths in it mean little. "
        f"Over {_RESAMPLES} resamples of the models the adjusted Rand index with these groups is "
        f"{number(groups.stability[CLUSTERS])} on average (1: always the same, 0: chance)."
    )
    finding = evidence.finding(
        groups.margin,
        claim=f"The data sets form {CLUSTERS} groups.",
        source="Figure 7, middle",
        measure=f"Mean silhouette of {CLUSTERS} groups minus the best of {_others()} groups, {count} data sets; a "
        "group of one data set has silhouette 0",
        expected=1,
        rule=f"The interval holds the middle 95 % of {_RESAMPLES} resamples of the models, taken as independent. ",
    )
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=(_chart(board, vectors, groups.labels),),
        tables=(_members(board, vectors, groups.labels, resolution), _numbers(groups)),
        findings=(finding,),
    )


def standardised(vectors: np.ndarray) -> np.ndarray:
    """Centres and scales vectors so that half their squared distance is one minus their correlation.

    Args:
        vectors: [D, M]; a constant one becomes 0.

    Returns:
        [D, M], of unit norm along the last axis.
    """
    centred = vectors - vectors.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)


def grouping(vectors: np.ndarray) -> Grouping:
    """Groups vectors by average linkage on the correlation distance, and tells how stable the groups are.

    Args:
        vectors: [D, M] of `standardised`, at least six.

    Raises:
        UserError: scikit-learn is not installed.
    """
    metrics = _scikit_learn().metrics
    rng = np.random.default_rng(evidence.SEED)
    models = vectors.shape[1]
    drawn = [standardised(vectors[:, rng.integers(models, size=models)]) for _ in range(_RESAMPLES)]
    labels, silhouettes, agreement = {}, {}, {}
    for count in _COUNTS:
        found = [_linkage(sample, count) for sample in (vectors, *drawn)]
        labels[count] = found[0]
        silhouettes[count] = [
            metrics.silhouette_score(_distances(sample), one, metric="precomputed")
            for sample, one in zip((vectors, *drawn), found, strict=True)
        ]
        agreement[count] = float(np.mean([metrics.adjusted_rand_score(found[0], one) for one in found[1:]]))
    others = np.max([silhouettes[count] for count in _COUNTS if count != CLUSTERS], axis=0)
    return Grouping(
        labels=labels[CLUSTERS],
        stability=agreement,
        silhouettes={count: _estimate(values, models) for count, values in silhouettes.items()},
        margin=_estimate(np.subtract(silhouettes[CLUSTERS], others), models),
    )


def _estimate(values: Sequence[float], models: int) -> evidence.Estimate:
    return evidence.percentile_estimate(float(values[0]), values[1:], models)  # the first is the sample itself


def _scikit_learn() -> ModuleType:
    try:
        import sklearn.cluster
        import sklearn.manifold
        import sklearn.metrics
    except ImportError as error:
        raise UserError("the study of data sets needs scikit-learn: pip install scikit-learn") from error
    return sklearn


def _distances(vectors: np.ndarray) -> np.ndarray:
    distances = np.clip(1 - vectors @ vectors.T, 0, None)
    np.fill_diagonal(distances, 0)
    return distances


def _linkage(vectors: np.ndarray, count: int) -> np.ndarray:
    cluster = _scikit_learn().cluster
    found = cluster.AgglomerativeClustering(count, metric="precomputed", linkage="average")
    labels = found.fit_predict(_distances(vectors))
    order = sorted(set(labels.tolist()), key=lambda one: (-(labels == one).sum(), np.argmax(labels == one)))
    return np.array([order.index(one) for one in labels])


def _others() -> str:
    *first, last = [str(count) for count in _COUNTS if count != CLUSTERS]
    return f"{', '.join(first)} or {last}"


def _chart(board: Leaderboard, vectors: np.ndarray, labels: np.ndarray) -> Chart:
    manifold = _scikit_learn().manifold
    perplexity = min(_PERPLEXITY, len(vectors) / 2 - 1)
    places = manifold.TSNE(perplexity=perplexity, init="pca", random_state=evidence.SEED).fit_transform(vectors)
    series = []
    for group in range(labels.max() + 1):
        chosen = np.flatnonzero(labels == group)
        names = [dataset_title(board.datasets[column]) for column in chosen]
        name = f"group {group + 1}"
        series.append(
            Series(
                name=name,
                x=places[chosen, 0],
                y=places[chosen, 1],
                line=False,
                labels=[f"{one}\n{name}" for one in names],
                annotate=True,
            )
        )
    return Chart(
        name="datasets-tsne",
        title="Data sets by the robustness of the models on them (t-SNE)",
        alt=f"{len(board.datasets)} data sets as points in a plane, coloured by group.",
        panels=[Panel(title="", series=series)],
        x=Axis(label="t-SNE 1", limits=_limits(places[:, 0])),
        y=Axis(label="t-SNE 2", limits=_limits(places[:, 1])),
    )


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.1 * float(np.ptp(values)) or 1.0
    return float(values.min()) - margin, float(values.max()) + margin


def _members(board: Leaderboard, vectors: np.ndarray, labels: np.ndarray, resolution: int | str) -> Table:
    correlations = vectors @ vectors.T
    means = board.improved(resolution).mean(axis=0)
    lines = []
    for column in np.lexsort((-means, labels)):
        others = np.arange(len(labels)) != column
        nearest = int(np.argmax(np.where(others, correlations[column], -2)))
        lines.append(
            (
                board.datasets[column],
                int(labels[column]) + 1,
                float(100 * means[column]),
                number(correlations[column][others].mean()),
                number(correlations[column, nearest]),
                board.datasets[nearest],
            )
        )
    header = ("Data set", "Group", f"Mean Gamma-{shown(resolution)}", "Mean correlation", "Highest", "Nearest")
    caption = "Gamma in percent; correlation, over models, with the other data sets; the nearest has the highest."
    return Table("Groups of data sets", caption, header, tuple(lines), labels=1)


def _numbers(groups: Grouping) -> Table:
    lines = [
        (str(count), evidence.interval_text(estimate), number(groups.stability[count]))
        for count, estimate in groups.silhouettes.items()
    ]
    caption = (
        "Silhouette with its 95 % bootstrap interval over models; stability is the mean adjusted Rand index between "
        "these groups and those of resampled models."
    )
    return Table("Numbers of groups", caption, ("Groups", "Silhouette", "Stability"), tuple(lines), labels=1)
