"""The tables of an ablation: its rows beside the published ones, and whether they stand in the published order."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from lrjax.config import Ablation
from lrjax.display.charts import Axis, Chart, Panel, Series
from lrjax.display.tables import Spread, Table

_VERDICTS = {"holds": "holds", "reversed": "does not hold", "undecided": "is undecided"}

Scores = Mapping[str, float | None]
"""Percent by metric ("sar16"); None where it is undefined."""

STANDARD_ERRORS = 2
"""Two rows are told apart where their mean difference is more than so many standard errors from 0."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """What was measured for a row of an ablation.

    Attributes:
        model: the backbone.
        vanilla: scores of the backbone as it is.
        trained: scores by seed; empty for a row that trains nothing.
        position: value of the key that a chart is drawn along, None without one.
        notes: what the scores leave out, sentences.
    """

    model: str
    vanilla: Scores
    trained: Mapping[int, Scores] = dataclasses.field(default_factory=dict)
    position: float | None = None
    notes: tuple[str, ...] = ()

    def spread(self, metric: str) -> Spread | None:
        """Returns mean and standard deviation (n - 1) over seeds, None where a score is undefined."""
        values = [scores[metric] for scores in self.trained.values()] or [self.vanilla[metric]]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return Spread(float(np.mean(known)), float(np.std(known, ddof=1)) if len(known) > 1 else None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two rows that differ in a published metric, and their difference here.

    Attributes:
        metric: for instance "sar16".
        better: the row with the higher published number.
        worse: the other row.
        paper: published difference in points, above 0.
        difference: mean over seeds of better - worse, in points.
        error: its standard error, 0 between rows without training, None with one seed.
    """

    metric: str
    better: str
    worse: str
    paper: float
    difference: float
    error: float | None

    @property
    def verdict(self) -> str:
        """Whether the published order "holds", is "reversed", or "undecided" within `STANDARD_ERRORS`."""
        if self.error is None or abs(self.difference) <= STANDARD_ERRORS * self.error:
            return "undecided"
        return "holds" if self.difference > 0 else "reversed"


def compare(ablation: Ablation, lines: Mapping[str, Line]) -> list[Pair]:
    """Compares every two rows whose published numbers differ.

    Rows are compared seed by seed, over the seeds that both have; a row that trains nothing is the same for all.

    Args:
        ablation: metrics and published numbers.
        lines: what was measured, by row.

    Returns:
        The pairs, by metric and row; without those where a score is undefined.
    """
    pairs = []
    for metric in ablation.metrics:
        published = {row: ablation.paper[row][metric] for row in lines if metric in ablation.paper.get(row, {})}
        for one, other in itertools.combinations(published, 2):
            better, worse = sorted((one, other), key=lambda row: -published[row])
            found = _differences(lines[better], lines[worse], metric)
            if published[better] > published[worse] and found:
                pairs.append(
                    Pair(
                        metric=metric,
                        better=better,
                        worse=worse,
                        paper=published[better] - published[worse],
                        difference=float(np.mean(found)),
                        error=_error(found, lines[better], lines[worse]),
                    )
                )
    return pairs


def _differences(better: Line, worse: Line, metric: str) -> list[float]:
    seeds = [seed for seed in better.trained or worse.trained if seed in (worse.trained or better.trained)]
    pairs = [[line.trained.get(seed, line.vanilla) for line in (better, worse)] for seed in seeds]
    found = [_minus(high[metric], low[metric]) for high, low in pairs or [[better.vanilla, worse.vanilla]]]
    known = [difference for difference in found if difference is not None]
    return known if len(known) == len(found) else []


def _minus(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one - other


def _error(differences: Sequence[float], better: Line, worse: Line) -> float | None:
    if not (better.trained or worse.trained):
        return 0.0
    return float(np.std(differences, ddof=1)) / math.sqrt(len(differences)) if len(differences) > 1 else None


def ablation_table(ablation: Ablation, lines: Mapping[str, Line], *, weighing: str) -> Table:
    """Tabulates the rows of an ablation: published number and gain, measured number and gain.

    Args:
        ablation: title, metrics, seeds and published numbers.
        lines: what was measured, by row.
        weighing: how WAR weighs the data sets, a clause.

    Returns:
        The table, in percent and points; its caption says whether the published order holds.
    """
    untrained = {line.model: row for row, line in lines.items() if not line.trained}
    header = ["Row"]
    for metric in ablation.metrics:
        header += [f"{_label(metric)} {part}" for part in ("paper", "paper gain", "here", "gain")]
    rows = []
    for row, line in lines.items():
        cells: list = [row]
        for metric in ablation.metrics:
            paper = ablation.paper.get(row, {}).get(metric)
            before = ablation.paper.get(untrained.get(line.model, ""), {}).get(metric)
            spread, vanilla = line.spread(metric), line.vanilla[metric]
            published = _minus(paper, before) if line.trained else None
            gain = _minus(spread.value, vanilla) if line.trained and spread is not None else None
            cells += [paper, published, spread, gain]
        rows.append(tuple(cells))
    seeds = ", ".join(map(str, ablation.seeds))
    several = len(ablation.seeds) > 1
    spread = f"± is the standard deviation over the seeds {seeds}" if several else f"seed {seeds} only"
    caption = (
        f"Percent; {spread}; a gain is against the backbone as it is. {weighing[0].upper() + weighing[1:]}. "
        "The paper's numbers are those of its own backbones and data sets."
    )
    few = [row for row, line in lines.items() if 0 < len(line.trained) < len(ablation.seeds)]
    if few:
        caption += f" Fewer seeds: {', '.join(few)}."
    caption = " ".join(dict.fromkeys([caption, *(note for line in lines.values() for note in line.notes)]))
    return Table(ablation.title, caption + _judged(compare(ablation, lines)), tuple(header), tuple(rows), 1, group=4)


def metric_tables(table: Table) -> list[Table]:
    """Cuts the table of an ablation into one per metric, for a terminal, without the columns that hold nothing.

    Args:
        table: of `ablation_table`.

    Returns:
        The tables; the last one has the caption.
    """
    tables = []
    for start in range(table.labels, len(table.header), table.group):
        metric = table.header[start].split()[0]
        kept = [i for i in range(start, start + table.group) if any(row[i] is not None for row in table.rows)]
        header = [table.header[0], *(table.header[i].removeprefix(f"{metric} ") for i in kept)]
        rows = tuple((row[0], *(row[i] for i in kept)) for row in table.rows)
        tables.append(Table(f"{table.title}: {metric}", "", tuple(header), rows, table.labels))
    return [*tables[:-1], dataclasses.replace(tables[-1], caption=table.caption)]


def _judged(pairs: Sequence[Pair]) -> str:
    """Says for every metric whether the published order holds."""
    if not pairs:
        return ""
    words = []
    for metric, group in itertools.groupby(pairs, key=lambda pair: pair.metric):
        verdicts = [pair.verdict for pair in group]
        whole = "reversed" if "reversed" in verdicts else "undecided" if "undecided" in verdicts else "holds"
        counts = ", ".join(f"{verdicts.count(word)} {word}" for word in _VERDICTS if word in verdicts)
        words.append(f"{_label(metric)} {_VERDICTS[whole]} ({counts} of {len(verdicts)} pairs)")
    return (
        f" Order of the paper: {'; '.join(words)}. A pair of rows is undecided where the mean of its differences by "
        f"seed is within {STANDARD_ERRORS} standard errors of 0, or there is one seed only."
    )


def order_table(pairs: Sequence[Pair]) -> Table:
    """Tabulates the pairs of `compare`."""
    header = ("Metric", "Better in the paper", "Worse", "Order", "Paper", "Here", "Standard error")
    rows = tuple(
        (_label(pair.metric), pair.better, pair.worse, pair.verdict, pair.paper, pair.difference, pair.error)
        for pair in pairs
    )
    return Table("Order of the rows", "Differences in points.", header, rows, labels=4)


def ablation_chart(ablation: Ablation, lines: Mapping[str, Line]) -> Chart:
    """Draws the gain in every metric along the key `ablation.axis`, with the deviation over seeds.

    Args:
        ablation: title, metrics and axis.
        lines: what was measured, by row.

    Raises:
        UserError: nothing was trained, or every score is undefined.
    """
    series = []
    for metric in ablation.metrics:
        found = [(line, line.spread(metric)) for line in lines.values() if line.trained]
        gains = [
            (line.position, spread.value - vanilla, spread.deviation or 0)
            for line, spread in found
            if spread is not None and (vanilla := line.vanilla[metric]) is not None
        ]
        if gains:
            places, means, deviations = zip(*sorted(gains), strict=True)
            low, high = ([mean + sign * one for mean, one in zip(means, deviations, strict=True)] for sign in (-1, 1))
            series.append(Series(name=_label(metric), x=places, y=means, low=low, high=high))
    return Chart(
        name="ablation",
        title=ablation.title,
        panels=[Panel(title="", series=series, level=0, level_name="backbone as it is")],
        x=Axis(label=ablation.axis.rpartition(".")[2].replace("_", " ")),
        y=Axis(label="gain (points)"),
        alt=f"Gain in {', '.join(map(_label, ablation.metrics))} against {ablation.axis}, with deviations over seeds.",
    )


def _label(metric: str) -> str:
    return f"{metric[:3]}-{metric[3:]}".upper()
