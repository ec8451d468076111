"""Pairs of models that differ in one thing, found from what is known of the models, and what that thing does."""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from lrjax.display.charts import Chart
from lrjax.display.tables import Table
from lrjax.leaderboard.board import METRICS, Entry, Leaderboard
from lrjax.leaderboard.studies import evidence
from lrjax.leaderboard.studies.figures import dots, low_resolutions, percent, shown
from lrjax.leaderboard.studies.size import values_of
from lrjax.leaderboard.studies.study import Finding, Study

_SAME_MODEL = 0.01
"""Largest relative difference in parameters between input sizes of one model: that of its position embeddings."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two entries of a leaderboard.

    Attributes:
        base: number of the one that is compared with.
        other: number of the one that differs.
        unit: pairs of one unit share a model, and count once.
    """

    base: int
    other: int
    unit: str


def finetuned_pairs(board: Leaderboard) -> list[Pair]:
    """Finds the fine-tuned models and what each was fine-tuned from.

    Args:
        board: a leaderboard.

    Returns:
        Pairs of base and fine-tuned model; the unit is the base.
    """
    pairs = []
    for other, tuned in enumerate(board.entries):
        if not tuned.finetuned:
            continue
        bases = [
            number
            for number, entry in enumerate(board.entries)
            if not entry.finetuned and not entry.own and _architecture(entry) == _architecture(tuned)
            and (entry.data, entry.pairs) == (tuned.data, tuned.pairs)
        ]  # fmt: skip
        if len(bases) > 1:  # then the name of its file begins with that of its base
            bases = [number for number in bases if _file(tuned).startswith(f"{_file(board.entries[number])}_")]
        if len(bases) == 1:
            pairs.append(Pair(bases[0], other, board.entries[bases[0]].name))
    return pairs


def input_pairs(board: Leaderboard) -> list[Pair]:
    """Finds models that differ in their input size only.

    Args:
        board: a leaderboard.

    Returns:
        Pairs of the model with the smallest input and each larger one; the unit is the former.
    """
    parameters, sizes = values_of(board, "parameters"), values_of(board, "image_size")
    chains: list[list[int]] = []
    for number, entry in enumerate(board.entries):
        if entry.tower != "vit" or entry.own or None in (entry.parameters, entry.image_size):
            continue
        for chain in chains:
            larger = parameters[number] / parameters[chain[0]] - 1
            if _same_facts(board.entries[chain[0]], entry) and abs(larger) < _SAME_MODEL:
                chain.append(number)
                break
        else:
            chains.append([number])
    pairs = []
    for chain in chains:
        base, *others = sorted(chain, key=sizes.__getitem__)
        unit = board.entries[base].name
        pairs += [Pair(base, other, unit) for other in others if sizes[other] > sizes[base]]
    return pairs


def data_pairs(board: Leaderboard) -> list[Pair]:
    """Finds models of one family and architecture that were pre-trained on different data.

    Of several models with the same data the first counts. Within a pair the base is the one with more pairs where the
    sources differ, and the one with fewer where the source is the same (`same_source`).

    Args:
        board: a leaderboard.

    Returns:
        The pairs, each its own unit.
    """
    amounts = values_of(board, "pairs")
    first: dict[tuple, dict[str, int]] = {}
    for number, entry in enumerate(board.entries):
        if not entry.own and not entry.finetuned and entry.tower == "vit" and entry.pairs is not None:
            first.setdefault((*_architecture(entry), entry.image_size), {}).setdefault(entry.data, number)
    pairs = []
    for numbers in first.values():
        for one, two in itertools.combinations(numbers.values(), 2):
            less, more = sorted((one, two), key=amounts.__getitem__)
            base, other = (less, more) if same_source(board.entries[one], board.entries[two]) else (more, less)
            pairs.append(Pair(base, other, board.entries[base].name))
    return pairs


def same_source(one: Entry, two: Entry) -> bool:
    """Tells whether the data of one are a part of the data of the other, by their names without amounts."""
    sources = [{re.sub(r"-[\d.]+[MB]$", "", part) for part in entry.data.split("+")} for entry in (one, two)]
    return sources[0] <= sources[1] or sources[1] <= sources[0]


def _architecture(entry: Entry) -> tuple[str, str]:
    return entry.family, entry.backbone.partition(":")[0]


def _file(entry: Entry) -> str:
    return PurePosixPath(entry.backbone.partition(":")[2]).stem


def _same_facts(one: Entry, two: Entry) -> bool:
    facts = [(entry.family, entry.patch, entry.data, entry.pairs, entry.finetuned) for entry in (one, two)]
    return facts[0] == facts[1]


def differences(board: Leaderboard, pairs: Sequence[Pair], metric: str, resolution: int | str) -> np.ndarray:
    """Returns the score of the other minus that of the base, [P], in points of percent."""
    scores = percent(board, metric, resolution)
    return np.array([scores[pair.other] - scores[pair.base] for pair in pairs])


def estimate(board: Leaderboard, pairs: Sequence[Pair], metric: str, resolution: int | str) -> evidence.Estimate | None:
    """Averages the differences within each unit, and then over units.

    Args:
        board: a leaderboard.
        pairs: its pairs.
        metric: see `Leaderboard.score`.
        resolution: see `Leaderboard.score`.

    Returns:
        The mean over units in points; None where there is no pair.
    """
    units: dict[str, list[float]] = {}
    for pair, value in zip(pairs, differences(board, pairs, metric, resolution), strict=True):
        units.setdefault(pair.unit, []).append(value)
    return evidence.over_units([float(np.mean(values)) for values in units.values()])


def signs(board: Leaderboard, pairs: Sequence[Pair], metric: str, resolution: int | str) -> str:
    """Returns in how many pairs the other is lower, for instance "lower in 7 of 7 pairs"."""
    lower = int((differences(board, pairs, metric, resolution) < 0).sum())
    return f"lower in {lower} of {len(pairs)} pairs"


def label(board: Leaderboard, pair: Pair) -> str:
    """Returns what a pair is called: both names."""
    return f"{board.entries[pair.base].name} → {board.entries[pair.other].name}"


def _short(base: str, other: str) -> str:
    """Leaves out of the second name the parts that it begins with in common: "ALBEF (4M) → (14M)"."""
    pairs = itertools.takewhile(lambda letters: letters[0] == letters[1], zip(base, other, strict=False))
    common = len(list(pairs))
    starts = [at for mark in "@(" if 0 <= (at := other.find(mark)) <= common]
    if not starts and common == len(base):  # a part that grew by a letter is told in full: "L/14+"
        starts = [common] if other[common] == " " else [other.rfind("-", 0, common) + 1]
    return f"{base} → {other[max(starts, default=0) :].strip().removeprefix('@')}"


def pairs_chart(board: Leaderboard, pairs: Sequence[Pair], *, name: str, title: str, alt: str) -> Chart:
    """Describes the differences of all pairs at all low resolutions.

    Args:
        board: a leaderboard.
        pairs: its pairs, at least one.
        name: see `Chart`.
        title: see `Chart`.
        alt: see `Chart`.
    """
    panels = {
        f"{resolution} pixels": {metric.upper(): differences(board, pairs, metric, resolution) for metric in METRICS}
        for resolution in low_resolutions(board)
    }
    categories = [_short(board.entries[pair.base].name, board.entries[pair.other].name) for pair in pairs]
    return dots(
        name=name, title=title, alt=alt, label="difference, points", categories=categories, panels=panels, level=0
    )


def pairs_table(board: Leaderboard, pairs: Sequence[Pair], title: str, caption: str) -> Table:
    """Lists the differences of all pairs.

    Args:
        board: a leaderboard.
        pairs: its pairs.
        title: see `Table`.
        caption: see `Table`; the unit is added.
    """
    low = [(metric, resolution) for resolution in low_resolutions(board) for metric in METRICS]
    columns = [*low, ("acc", "hr")]
    values = np.array([differences(board, pairs, *column) for column in columns]).T
    lines = [(label(board, pair), *line.tolist()) for pair, line in zip(pairs, values, strict=True)]
    header = ("Pair", *(f"{metric.upper()}-{shown(resolution)}" for metric, resolution in columns))
    note = f" {board.note.capitalize()}." if board.note else ""
    caption = f"{caption} Differences in points of percent, the second model minus the first.{note}"
    return Table(title, caption, header, tuple(lines), labels=1, group=len(METRICS))


def pair_findings(
    board: Leaderboard, pairs: Sequence[Pair], *, claim: str, source: str, difference: str, units: tuple[str, str]
) -> tuple[Finding, ...]:
    """Puts the claim that the other of a pair is less robust to WAR at the low resolutions and to ACC at the lowest.

    Args:
        board: a leaderboard.
        pairs: its pairs; there is no finding where there is none.
        claim: see `Finding`.
        source: see `Finding`.
        difference: what is subtracted from what.
        units: what the others and what the bases are called.
    """
    resolutions = low_resolutions(board)
    findings = []
    for metric, resolution in [*(("war", resolution) for resolution in resolutions), ("acc", resolutions[0])]:
        if (mean := estimate(board, pairs, metric, resolution)) is None:
            continue
        measure = (
            f"Mean difference of {metric.upper()}-{resolution}, {difference}, points; {len(pairs)} {units[0]} of "
            f"{mean.n} {units[1]}, which are the units; {signs(board, pairs, metric, resolution)}"
        )
        findings.append(
            evidence.finding(mean, claim=claim, source=source, measure=measure, expected=-1, rule=evidence.UNITS_RULE)
        )
    return tuple(findings)


def pair_study(
    board: Leaderboard,
    pairs: Sequence[Pair],
    *,
    name: str,
    title: str,
    text: str,
    difference: str,
    sides: tuple[str, str],
    findings: tuple[Finding, ...],
) -> Study:
    """Shows the differences of pairs; there is neither a chart nor a table where there is no pair.

    Args:
        board: a leaderboard.
        pairs: its pairs.
        name: see `Study`.
        title: see `Study`.
        text: see `Study`.
        difference: what is subtracted from what, the heading of the chart and of the table.
        sides: what the other and what the base of a pair is called.
        findings: see `Study`.
    """
    study = Study(name=name, title=title, text=text, charts=(), tables=(), findings=findings)
    if not pairs:
        return study
    alt = f"Differences of ACC, SAR and WAR between {sides[0]} and {sides[1]}, one panel per resolution."
    chart = pairs_chart(board, pairs, name=f"{name}-pairs", title=f"{difference}, by resolution", alt=alt)
    table = pairs_table(board, pairs, difference, f"{sides[0].capitalize()} against {sides[1]}.")
    return dataclasses.replace(study, charts=(chart,), tables=(table,))
