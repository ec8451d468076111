"""The weights of WAR: what a search finds, and how sure the ranking is."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from lrjax.display.charts import Chart
from lrjax.display.tables import Table
from lrjax.errors import UserError
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import certainty, evidence
from lrjax.leaderboard.studies.figures import dataset_title, dots, shown
from lrjax.leaderboard.studies.study import Finding, Study
from lrjax.metrics import ranking
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.metrics.weights import PAPER_COEFFICIENTS, WeightSearch, search_weights

NAME = "weights"
TITLE = "The weights of WAR and the certainty of ranks"


def search(
    board: Leaderboard,
    *,
    resolution: int | str = 16,
    seed: int = 0,
    coefficients: Mapping[str, float] | None = None,
    bounds: tuple[float, float] = (0.01, 1.0),
    optimizer: Literal["scipy", "ax"] = "scipy",
) -> WeightSearch:
    """Searches weights for the data sets of a leaderboard, over its published models.

    Args:
        board: the leaderboard.
        resolution: at which the models are ranked.
        seed: of the search.
        coefficients: of the objective by data set; default those of the paper for the data sets that there are.
        bounds: least and largest weight.
        optimizer: see `lrjax.metrics.weights.search_weights`.

    Raises:
        UserError: no data set of the leaderboard has a coefficient, or as `search_weights`.
    """
    board = board.published
    if coefficients is None:
        coefficients = {name: one for name, one in PAPER_COEFFICIENTS.items() if name in board.datasets}
    if not coefficients:
        raise UserError(
            "the search is for agreement with data sets that are not on the leaderboard; "
            f"add {' or '.join(PAPER_COEFFICIENTS)}, or give coefficients"
        )
    return search_weights(
        board.improved(resolution),
        board.datasets,
        coefficients=coefficients,
        bounds=bounds,
        seed=seed,
        baselines={"given": board.weights},
        optimizer=optimizer,
    )


def study(board: Leaderboard, *, resolution: int | str = 16, found: WeightSearch | None = None) -> Study:
    """Compares the weights of the leaderboard with equal ones and with those of a search, and tells how sure ranks are.

    Args:
        board: the leaderboard; own runs have a rank and its interval, and take part in nothing else.
        resolution: at which the models are ranked.
        found: a finished search over the same leaderboard and resolution; default a search by scipy.

    Reference: arXiv 2502.03950, equation 2 and Table 11.
    """
    published = board.published
    if len(published.entries) < 4 or len(published.datasets) < 2:
        text = "Weights need at least four published models and two data sets."
        return Study(name=NAME, title=TITLE, text=text, charts=(), tables=(), findings=())
    charts, tables, findings, outcome = [], [], [], "No data set of the objective is on the leaderboard: no search. "
    if found is None and any(name in published.datasets for name in PAPER_COEFFICIENTS):
        found = search(board, resolution=resolution)
    names = _names(published)
    if found is not None:
        charts += _weight_charts(published, found, names)
        tables += [_weight_table(published, found, names)]
        findings += _search_findings(published, found, resolution, names)
        outcome = (
            f"It is {found.values['equal']:.3f} for equal weights, {found.values['given']:.3f} for the "
            f"{names['given']} ones and {found.values['found']:.3f} for those of a search ({found.optimizer}, "
            f"seed {found.seed}, {found.evaluations:,} weight vectors). Very different weights "
            "reach nearly the same sum, so single weights mean little. "
        )
    ranked = board.keep(np.flatnonzero(np.isfinite(board.ranks("war", resolution))).tolist())
    charts.append(certainty.rank_chart(ranked, resolution))
    tables += [certainty.rank_table(ranked, found, resolution), certainty.alpha_table(published, resolution)]
    findings += certainty.alpha_findings(published, resolution)
    spans = {name: np.mean(high - low) for name, (low, high) in certainty.rank_intervals(ranked, resolution).items()}
    widths = "They span " + ", ".join(f"{span:.0f} ranks on average with {name}" for name, span in spans.items()) + ". "
    text = (
        "The weights of WAR were chosen to maximise a weighted sum of Spearman correlations between WAR and Gamma on "
        f"single data sets, here at {shown(resolution)} pixels and over {len(published.entries)} published models. "
        f"{outcome}Rank intervals (95 %) answer two questions: what the rank would be among other competitors drawn "
        f"from these, and on other data sets drawn from these. {widths}Own runs have ranks and take part in "
        "nothing else."
    )
    return Study(
        name=NAME, title=TITLE, text=text, charts=tuple(charts), tables=tuple(tables), findings=tuple(findings)
    )


def _names(board: Leaderboard) -> dict[str, str]:
    own_weights = any(board.weights[name] != PAPER_WEIGHTS.get(name) for name in board.datasets)
    return {"equal": "equal", "given": "given" if own_weights else "published", "found": "found"}


def _weight_charts(board: Leaderboard, found: WeightSearch, names: Mapping[str, str]) -> list[Chart]:
    largest = max(board.weights.values())
    scale = max(found.weights.values()) / largest if largest else 1.0
    weights = {
        names["given"]: [scale * board.weights[name] for name in board.datasets],
        names["found"]: [found.weights[name] for name in board.datasets],
    }
    correlations = {name: [found.correlations[key][one] for one in board.datasets] for key, name in names.items()}
    return [
        dots(
            name="weights-values",
            title="Weights of the data sets",
            alt=f"The {names['given']} weights and those of a search, as two points for each data set.",
            label="weight, the largest of both equal",
            categories=[*map(dataset_title, board.datasets)],
            panels={"": weights},
            decimals=3,
        ),
        dots(
            name="weights-correlations",
            title="Spearman correlation of WAR with each data set",
            alt=f"The correlations for equal, {names['given']} and found weights, as three points for each data set.",
            label="Spearman correlation",
            categories=[*map(dataset_title, board.datasets)],
            panels={"": correlations},
            decimals=3,
        ),
    ]


def _weight_table(board: Leaderboard, found: WeightSearch, names: Mapping[str, str]) -> Table:
    lines = []
    for one in board.datasets:
        weights = (f"{board.weights[one]:.4f}", f"{found.weights[one]:.4f}")
        correlations = (f"{found.correlations[key][one]:.3f}" for key in names)
        lines.append((one, f"{found.coefficients[one]:g}", *weights, *correlations))
    lines.append(("objective", None, None, None, *(f"{found.values[key]:.3f}" for key in names)))
    header = ("Data set", "Coefficient", f"Weight, {names['given']}", "Weight, found")
    header += tuple(f"Correlation, {name}" for name in names.values())
    caption = "Correlation: Spearman, over models, of WAR by these weights with Gamma on the data set."
    return Table("Weights before and after the search", caption, header, tuple(lines), labels=1)


def _search_findings(
    board: Leaderboard, found: WeightSearch, resolution: int | str, names: Mapping[str, str]
) -> list[Finding]:
    improved, published = board.improved(resolution), names["given"] == "published"
    war = {
        "equal": improved.mean(axis=1),
        "given": board.score("war", resolution),
        "found": ranking.weighted_scores([found.weights[name] for name in board.datasets], improved),
    }
    coefficients = [found.coefficients[name] for name in board.datasets]
    if any(np.ptp(values) == 0 for values in war.values()):
        return []
    measure = f"Weighted sum of Spearman correlations at {shown(resolution)} pixels"
    return [
        evidence.finding(
            evidence.correlation_difference(war["given"], war["equal"], improved, coefficients),
            claim="WAR agrees better with the chosen data sets than the plain mean does.",
            source="Equation 2, Table 11" if published else "our reading; these are not the weights of the paper",
            measure=f"{measure}: {names['given']} weights ({found.values['given']:.3f}) minus equal ones "
            f"({found.values['equal']:.3f})",
            expected=1,
            rule=evidence.MODELS_RULE,
        ),
        evidence.finding(
            evidence.correlation_difference(war["found"], war["given"], improved, coefficients),
            claim=f"The {names['given']} weights maximise the objective.",
            source=("our reading of " if published else "not of the paper; the objective is that of ") + "equation 2",
            measure=f"{measure}: found weights ({found.values['found']:.3f}) minus {names['given']} ones "
            f"({found.values['given']:.3f}); both were fitted to these models, and are kept fixed",
            expected=-1,
            rule=evidence.MODELS_RULE,
        ),
    ]
