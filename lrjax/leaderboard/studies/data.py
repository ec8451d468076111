"""What the pre-training data do to robustness at equal architecture."""

from collections.abc import Sequence

import numpy as np

from lrjax.display.tables import Table
from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence, pairs
from lrjax.leaderboard.studies.figures import percent, shown
from lrjax.leaderboard.studies.size import values_of
from lrjax.leaderboard.studies.study import Finding, Study

NAME = "data"
TITLE = "Pre-training data at equal architecture"
FILTERED, RAW = "DataComp-1B", "LAION-2B"
_SAME_TOWER = 0.002
"""Largest relative difference in GFLOPs between image towers that count as equal."""


def study(board: Leaderboard) -> Study:
    """Compares models of equal architecture that were pre-trained on different data.

    Args:
        board: the leaderboard; own runs do not take part.

    Reference: arXiv 2502.03950, abstract and Figure 6.
    """
    board = board.published
    resolution = board.resolutions[0]
    strict = pairs.data_pairs(board)
    other_source = [pair for pair in strict if not _same(board, pair)]
    more = [pair for pair in strict if _same(board, pair)]
    towers = equal_towers(board)
    text = (
        "Strict pairs have one family and one architecture, and differ in their data only: either the source differs, "
        f"{RAW} against {FILTERED}, which is smaller but was filtered for quality, or the amount of data of the "
        "same source. Loose groups have an image tower of equal input, patch and computation, from any family: their "
        "text towers, recipes and numbers of images seen differ too, so they show what data may do, and prove nothing. "
        "BLIP-ViT-B/16 (4M) is the published name of a model of 14 million pairs."
    )
    charts, tables = [], []
    if strict:
        chosen = other_source + more
        charts.append(
            pairs.pairs_chart(
                board,
                chosen,
                name="data-pairs",
                title="Other data, or more of the same, at equal architecture",
                alt=f"{FILTERED} minus {RAW}, and more minus fewer pairs of one source, at every low resolution.",
            )
        )
        tables.append(pairs.pairs_table(board, chosen, "Strict pairs", "Same family and architecture, other data."))
    if towers:
        tables.append(_tower_table(board, towers, resolution))
    findings = (
        *_strict_findings(board, other_source, more, resolution),
        *_tower_findings(board, towers, resolution),
    )
    return Study(
        name=NAME, title=TITLE, text=text, charts=tuple(charts), tables=tuple(tables), findings=tuple(findings)
    )


def _same(board: Leaderboard, pair: pairs.Pair) -> bool:
    return pairs.same_source(board.entries[pair.base], board.entries[pair.other])


def equal_towers(board: Leaderboard) -> dict[str, list[int]]:
    """Groups models with an equal image tower, whatever their family.

    Args:
        board: a leaderboard.

    Returns:
        Entry numbers by name of the tower, for instance "ViT, patch 14, 224 px, 335 GFLOPs"; groups have models of at
        least two sources of data. Fine-tuned models and own runs are left out.
    """
    gflops, groups = values_of(board, "gflops"), []
    for number, entry in enumerate(board.entries):
        if entry.own or entry.finetuned or entry.tower != "vit" or None in (entry.gflops, entry.pairs):
            continue
        for group in groups:
            first = board.entries[group[0]]
            same = (first.patch, first.image_size) == (entry.patch, entry.image_size)
            if same and abs(gflops[number] / gflops[group[0]] - 1) < _SAME_TOWER:
                group.append(number)
                break
        else:
            groups.append([number])
    found = {}
    for group in groups:
        first = board.entries[group[0]]
        if len({board.entries[number].data for number in group}) >= 2:
            name = f"ViT, patch {first.patch}, {first.image_size} px, {first.gflops:,.0f} GFLOPs"
            found[name] = group
    return found


def _strict_findings(
    board: Leaderboard, other_source: Sequence[pairs.Pair], more: Sequence[pairs.Pair], resolution: int | str
) -> list[Finding]:
    findings = []
    filtered = [
        pair
        for pair in other_source
        if (board.entries[pair.base].data, board.entries[pair.other].data) == (RAW, FILTERED)
    ]
    for metric in ("war", "acc"):
        estimate = pairs.estimate(board, filtered, metric, resolution)
        if estimate is not None:
            score = f"{metric.upper()}-{shown(resolution)}"
            findings.append(
                evidence.finding(
                    estimate,
                    claim=f"Better filtered data make models more robust than more data do: {FILTERED} beats {RAW}.",
                    source="abstract (ii), Figure 6",
                    measure=f"Mean difference of {score}, {FILTERED} minus {RAW}, points; strict pairs, "
                    f"{pairs.signs(board, filtered, metric, resolution)}",
                    expected=1,
                    rule=evidence.UNITS_RULE,
                )
            )
    estimate = pairs.estimate(board, more, "war", resolution)
    if estimate is not None:
        findings.append(
            evidence.finding(
                estimate,
                claim="More pre-training data of the same source make models more robust.",
                source="abstract (ii), as a counter-check",
                measure=f"Mean difference of WAR-{shown(resolution)}, more minus fewer pairs, points; strict pairs, "
                f"{pairs.signs(board, more, 'war', resolution)}",
                expected=1,
                rule=evidence.UNITS_RULE,
            )
        )
    return findings


def _tower_findings(board: Leaderboard, towers: dict[str, list[int]], resolution: int | str) -> list[Finding]:
    war, findings = percent(board, "war", resolution), []
    name = f"WAR-{shown(resolution)}"
    gains, correlations = [], []
    for group in towers.values():
        scores = {
            source: [war[number] for number in group if board.entries[number].data == source]
            for source in (FILTERED, RAW)
        }
        if all(scores.values()):
            gains.append(float(np.mean(scores[FILTERED]) - np.mean(scores[RAW])))
        amounts = values_of(board, "pairs")[group]
        if len(set(amounts.tolist())) >= 3:
            ranks = evidence.rank_correlation(amounts, war[group])
            if ranks is not None:
                correlations.append(ranks)
    estimate = evidence.over_units(gains)
    if estimate is not None:
        findings.append(
            evidence.finding(
                estimate,
                claim=f"Better filtered data make models more robust than more data do: {FILTERED} beats {RAW}.",
                source="abstract (ii), Figure 6",
                measure=f"Mean difference of {name}, {FILTERED} minus {RAW}, points; units are groups of equal image "
                f"tower across families (confounded with recipe), positive in {sum(one > 0 for one in gains)} of "
                f"{len(gains)}",
                expected=1,
                rule=evidence.UNITS_RULE,
            )
        )
    estimate = evidence.over_units(correlations)
    if estimate is not None:
        findings.append(
            evidence.finding(
                estimate,
                claim="At equal image tower, more pre-training pairs go with more robustness.",
                source="abstract (ii), as a counter-check",
                measure=f"Mean Spearman correlation of {name} with the number of pairs within groups of equal image "
                "tower with at least three amounts; units are groups",
                expected=1,
                rule=evidence.UNITS_RULE,
            )
        )
    return findings


def _tower_table(board: Leaderboard, towers: dict[str, list[int]], resolution: int | str) -> Table:
    lines = []
    scores = {metric: percent(board, metric, resolution) for metric in ("acc", "sar", "war")}
    for name, group in towers.items():
        for number in sorted(group, key=lambda one: -scores["war"][one]):
            entry = board.entries[number]
            values = (float(scores[metric][number]) for metric in scores)
            lines.append((name, entry.name, entry.data, f"{entry.pairs:,.0f} M", *values))
    header = ("Image tower", "Model", "Data", "Pairs", *(f"{metric.upper()}-{shown(resolution)}" for metric in scores))
    caption = "Loose groups: models with an image tower of equal input, patch and computation; percent, best WAR first."
    return Table("Equal image tower, other data", caption, header, tuple(lines), labels=3)
