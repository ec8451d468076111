"""Robustness against the size of the model, of its pre-training data and of its computation."""

import numpy as np

from lrjax.display.charts import OWN, Axis, Chart, Panel, Series
from lrjax.display.tables import Table
from lrjax.leaderboard.board import Entry, Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import groups, percent, shown
from lrjax.leaderboard.studies.study import Finding, Study

NAME = "size"
TITLE = "Robustness against model size, data size and computation"
QUANTITIES = {"parameters": "parameters", "pairs": "pre-training pairs", "gflops": "GFLOPs"}
_AXES = {
    "parameters": "parameters",
    "pairs": "pre-training pairs, millions",
    "gflops": "GFLOPs of the image tower",
}
_SAME_SIZE = 1.02
"""Sizes closer than this ratio are one: position embeddings of another input size add up to 0.3 %."""


def study(board: Leaderboard) -> Study:
    """Correlates WAR and SAR with parameters, pre-training pairs and GFLOPs.

    Args:
        board: the leaderboard; own runs with a known size are drawn and not counted.

    Reference: arXiv 2502.03950, abstract and Figure 5, right.
    """
    published, lowest = board.published, board.resolutions[0]
    text = (
        f"WAR-{lowest} of every model against the number of parameters (image and text tower), the nominal number of "
        "image-text pairs it was pre-trained on, and the GFLOPs of its image tower. Areas grow with GFLOPs, in the "
        "last chart with parameters; stars are ResNets. Models of one family share data, recipe and authors, so the "
        "intervals, which take models as independent, are rather too short, except where families are the units. Own "
        "runs, if any, are drawn and named, and not counted."
    )
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=tuple(_chart(board, quantity, lowest) for quantity in QUANTITIES),
        tables=(_correlation_table(published), _family_table(published, lowest)),
        findings=_findings(published, lowest),
    )


def values_of(board: Leaderboard, quantity: str) -> np.ndarray:
    """Returns a quantity of the entries, [M], nan where it is unknown."""
    values = [getattr(entry, quantity) for entry in board.entries]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def size_levels(parameters: np.ndarray) -> np.ndarray:
    """Numbers the sizes from the smallest, where sizes within 2 % of the smallest of them are one.

    Args:
        parameters: [M].

    Returns:
        [M], integers from 0.
    """
    levels, level, first = np.zeros(len(parameters), np.int64), -1, 0.0
    for number in np.argsort(parameters, kind="stable"):
        if level < 0 or parameters[number] > _SAME_SIZE * first:
            level, first = level + 1, parameters[number]
        levels[number] = level
    return levels


def family_correlations(board: Leaderboard, resolution: int | str) -> dict[str, evidence.Estimate]:
    """Correlates WAR with the size within each family of at least four models of at least three sizes.

    Args:
        board: the leaderboard.
        resolution: of WAR.

    Returns:
        Spearman correlation by family, without interval.
    """
    war, parameters = percent(board, "war", resolution), values_of(board, "parameters")
    found = {}
    for family in board.families:
        chosen = np.array([entry.family == family for entry in board.entries])
        levels = size_levels(parameters[chosen])
        if chosen.sum() >= 4 and levels.max() >= 2:
            estimate = evidence.correlation(levels, war[chosen])
            if estimate is not None:
                found[family] = evidence.Estimate(estimate.value, None, None, int(chosen.sum()))
    return found


def _subsets(board: Leaderboard) -> dict[str, Leaderboard]:
    return {"all": board, "ViT": board.keep(lambda entry: entry.tower == "vit")}


def _correlation_table(board: Leaderboard) -> Table:
    header = ["Quantity", "Models", "n", *(f"WAR-{shown(r)}" for r in board.resolutions)]
    header += [f"SAR-{shown(r)}" for r in board.resolutions if r != "hr"]
    lines = []
    for quantity, name in QUANTITIES.items():
        for label, subset in _subsets(board).items():
            x = values_of(subset, quantity)
            scores = [("war", r) for r in board.resolutions] + [("sar", r) for r in board.resolutions if r != "hr"]
            cells = [evidence.interval_text(evidence.correlation(x, subset.score(*one))) for one in scores]
            lines.append((name, label, len(subset.entries), *cells))
    caption = "Spearman correlation over models with its 95 % bootstrap interval. SAR-HR is 100 % for every model."
    return Table("Correlation of robustness with size", caption, tuple(header), tuple(lines), labels=3)


def _family_table(board: Leaderboard, resolution: int | str) -> Table:
    lines = [(family, one.n, f"{one.value:.2f}") for family, one in family_correlations(board, resolution).items()]
    header = ("Family", "Models", f"Spearman of WAR-{shown(resolution)} with size")
    caption = (
        "Families of at least four models of at least three sizes; sizes within 2 % count as one, because models that "
        "differ only in their input size differ in their position embeddings."
    )
    return Table("Size within families", caption, header, tuple(lines), labels=1)


def _findings(board: Leaderboard, resolution: int | str) -> tuple[Finding, ...]:
    score, name = board.score("war", resolution), f"WAR-{shown(resolution)}"
    findings = []
    for label, subset in _subsets(board).items():
        estimate = evidence.correlation(values_of(subset, "parameters"), subset.score("war", resolution))
        if estimate is not None:
            models = f"{estimate.n} models" if label == "all" else f"{estimate.n} models with a ViT image tower"
            findings.append(
                evidence.finding(
                    estimate,
                    claim="Larger models are more robust to low resolution.",
                    source="abstract (i)",
                    measure=f"Spearman correlation of {name} with parameters, {models}",
                    expected=1,
                    rule=evidence.MODELS_RULE,
                )
            )
    by_family = evidence.correlation_by_group(
        values_of(board, "parameters"), score, [entry.family for entry in board.entries]
    )
    if by_family is not None:
        findings.append(
            evidence.finding(
                by_family,
                claim="Larger models are more robust to low resolution.",
                source="abstract (i)",
                measure=f"Spearman correlation of {name} with parameters, {len(score)} models of {by_family.n} "
                "families, which are the units",
                expected=1,
                rule=evidence.GROUPS_RULE,
            )
        )
    families = family_correlations(board, resolution)
    values = [one.value for one in families.values()]
    middle = evidence.over_units(values, value=float(np.median(values))) if values else None
    if middle is not None:
        findings.append(
            evidence.finding(
                middle,
                claim="Larger models of one family are more robust to low resolution.",
                source="abstract (i)",
                measure=f"Median over {len(values)} families of the Spearman correlation of {name} with size; "
                "units are families",
                expected=1,
                rule=evidence.UNITS_RULE,
            )
        )
    pairs, parameters = values_of(board, "pairs"), values_of(board, "parameters")
    known = len(score) >= 4 and np.ptp(pairs) > 0 and np.ptp(parameters) > 0
    alone = evidence.correlation(pairs, score) if known else None
    if alone is not None:
        findings.append(
            evidence.finding(
                alone,
                claim="More pre-training pairs go with more robustness (the amount alone, whatever the data are).",
                source="abstract (ii), as a counter-check",
                measure=f"Spearman correlation of {name} with pre-training pairs, {len(score)} models",
                expected=1,
                rule=evidence.MODELS_RULE,
            )
        )
        findings.append(
            evidence.finding(
                evidence.correlation_difference(pairs, parameters, score[:, None]),
                claim="The amount of pre-training data matters less than the size of the model.",
                source="abstract (ii), Figure 5, right",
                measure=f"Spearman correlation of {name} with pre-training pairs minus that with parameters, "
                f"{len(score)} models; larger models tend to see more data, so neither is an effect on its own",
                expected=-1,
                rule=evidence.MODELS_RULE,
            )
        )
    return tuple(findings)


def _chart(board: Leaderboard, quantity: str, resolution: int | str) -> Chart:
    area = "parameters" if quantity == "gflops" else "gflops"
    x, areas, war = values_of(board, quantity), values_of(board, area), percent(board, "war", resolution)
    smallest = np.nanmin(areas)
    members: dict[tuple[str, str], list[int]] = {}
    for number, entry in enumerate(board.entries):
        if np.isfinite([x[number], war[number]]).all():
            key = (entry.name if entry.own else entry.family, entry.tower)
            members.setdefault(key, []).append(number)
    series = []
    for (name, tower), chosen in sorted(members.items(), key=lambda item: item[0][1] == "resnet"):
        own = board.entries[chosen[0]].own
        series.append(
            Series(
                name=name,
                x=x[chosen],
                y=war[chosen],
                group=OWN if own else name,
                line=False,
                marker="star" if tower == "resnet" else "diamond" if own else "circle",
                labels=[_label(board.entries[number], resolution, war[number]) for number in chosen],
                sizes=[smallest if np.isnan(areas[number]) else areas[number] for number in chosen],
                emphasis="strong" if own else "normal",
                annotate=own,
            )
        )
    return Chart(
        name=f"size-{quantity}",
        title=f"WAR-{shown(resolution)} against {QUANTITIES[quantity]}",
        alt=f"Each model as a point, its WAR at {shown(resolution)} against its {QUANTITIES[quantity]}.",
        panels=[Panel(title="", series=series)],
        x=Axis(label=_AXES[quantity], scale="log"),
        y=Axis(label=f"WAR-{shown(resolution)}, %"),
        groups=groups(board),
    )


def _label(entry: Entry, resolution: int | str, war: float) -> str:
    lines = [entry.name, f"WAR-{shown(resolution)}: {war:.1f} %"]
    if entry.parameters is not None:
        lines.append(f"{entry.parameters / 1e6:,.0f} M parameters")
    if entry.pairs is not None:
        lines.append(f"{entry.pairs:,.0f} M pairs of {entry.data}")
    if entry.gflops is not None:
        lines.append(f"{entry.gflops:,.0f} GFLOPs")
    return "\n".join(lines)
