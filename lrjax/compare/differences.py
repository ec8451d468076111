"""The differences of two systems, by data set and condition and over all, with intervals and corrected p values."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrjax.compare.pairs import Pair, pair_up
from lrjax.compare.systems import Key, NotComparableError, System
from lrjax.display.tables import counted
from lrjax.errors import UserError
from lrjax.metrics.intervals import CONFIDENCE, Bounds, bootstrap_accuracies, difference_interval, interval_around
from lrjax.metrics.paired import (
    bootstrap_p,
    detectable_by_error,
    detectable_difference,
    discordant,
    holm,
    mcnemar,
    paired_bootstrap,
)
from lrjax.results.row import Row

DRAWS = 10_000
"""Bootstrap replicates: corrected for a hundred comparisons their p values still go below 5 %."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """How far the first system is above the second.

    Attributes:
        question: name of the question.
        metric: name of the metric.
        of: the data set and what was done to its images, or several as "mean of 6".
        at: resolution, or "all".
        examples: behind it.
        first, second: the numbers of both, as they were measured.
        bounds: of the difference; None where all replicates are equal.
        p: of no difference.
        corrected: the same, for the number of differences of its kind (`paired.holm`).
        gained, lost: examples that only one system gets right; None where that is not what the metric counts.
        detectable: the smallest that would most likely have been found (`paired.detectable_difference`); None for none.
        replicates: of the difference, [B].
    """

    question: str
    metric: str
    of: str
    at: int | str
    examples: int
    first: float
    second: float
    bounds: Bounds | None
    p: float
    corrected: float = 1.0
    gained: int | None = None
    lost: int | None = None
    detectable: float | None = None
    replicates: np.ndarray

    @property
    def value(self) -> float:
        """The difference."""
        return self.first - self.second

    @property
    def significant(self) -> bool:
        """Whether the corrected p value is below 1 - `CONFIDENCE`."""
        return self.corrected < 1 - CONFIDENCE


@dataclass(frozen=True)
class LeftOut:
    """A result that is not compared.

    Attributes:
        row: that of the second system, or of the first where the second has none.
        why: a clause.
    """

    row: Row
    why: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two systems.

    Attributes:
        first, second: the systems.
        single: differences by data set and condition.
        means: of several data sets, at each resolution that several have.
        overall: of all data sets and conditions, by question and metric, where there are several.
        left_out: results of the chosen metrics that are not compared.
        unchosen: how many results of other metrics both have, by metric.
    """

    first: System
    second: System
    single: Sequence[Difference]
    means: Sequence[Difference]
    overall: Sequence[Difference]
    left_out: Sequence[LeftOut]
    unchosen: dict[str, int]


def compare(first: System, second: System, *, metrics: Collection[str] = (), seed: int = 0) -> Comparison:
    """Compares two systems on all that both have answered.

    Args:
        first, second: the systems.
        metrics: names of metrics; default that which stands for each question.
        seed: of the bootstrap draws, 0 or above.

    Raises:
        UserError: a metric is unknown, or nothing can be compared.
    """
    every = {**first.rows, **second.rows}
    known = dict.fromkeys(key.metric for key in every)
    if unknown := [name for name in metrics if name not in known]:
        raise UserError(f"neither has the metric {unknown[0]!r}; they have {', '.join(known)}")
    headlines = first.headlines | second.headlines
    chosen = [key for key in every if (key.metric in metrics if metrics else key in headlines)]
    pairs, left_out = [], []
    for key in chosen:
        try:
            pairs.append(pair_up(key, first, second))
        except NotComparableError as error:
            left_out.append(LeftOut(every[key], str(error)))
    if not pairs:
        row = left_out[0].row
        raise UserError(
            f"none of {counted(len(left_out), 'result')} of {first.name} and {second.name} can be compared; the first, "
            f"{row.metric} on {row.test_set} at {row.resolution}: {left_out[0].why}"
        )
    single = _differences(pairs, seed)
    others = [key.metric for key in first.rows if key in second.rows and key not in chosen]
    means, overall = _means(single)
    return Comparison(
        first=first,
        second=second,
        single=_corrected(single),
        means=_corrected(means),
        overall=_corrected(overall),
        left_out=left_out,
        unchosen={name: others.count(name) for name in dict.fromkeys(others)},
    )


def _differences(pairs: Sequence[Pair], seed: int) -> list[Difference]:
    """The difference of every pair; the examples of one data set are drawn alike for all its conditions."""
    groups: dict[tuple[str, str, bytes], int] = {}
    numbers = [
        groups.setdefault((one.key.dataset, one.index.dtype.str, one.index.tobytes()), len(groups)) for one in pairs
    ]
    drawn: dict[Key, np.ndarray] = {}
    for number in groups.values():
        hits = [pair for pair, own in zip(pairs, numbers, strict=True) if own == number and pair.binary]
        if hits:
            systems = [one.values[0] for pair in hits for one in pair.outcomes]
            accuracies = bootstrap_accuracies(systems, seed=[seed, number], replicates=DRAWS)
            drawn |= {pair.key: accuracies[:, 2 * i] - accuracies[:, 2 * i + 1] for i, pair in enumerate(hits)}
    return [
        _of_right(pair, drawn[pair.key]) if pair.binary else _of_statistic(pair, [seed, number])
        for pair, number in zip(pairs, numbers, strict=True)
    ]


def _of_right(pair: Pair, replicates: np.ndarray) -> Difference:
    hits = pair.outcomes[0].values[0], pair.outcomes[1].values[0]
    gained, lost = discordant(*hits)
    return Difference(
        **_named(pair),
        bounds=difference_interval(*hits),
        p=mcnemar(*hits),
        gained=gained,
        lost=lost,
        detectable=detectable_difference((gained + lost) / len(pair.index), len(pair.index)),
        replicates=replicates,
    )


def _of_statistic(pair: Pair, seed: list[int]) -> Difference:
    one, other = pair.outcomes
    replicates = paired_bootstrap(one.statistic, one.values, other.values, seed=seed, replicates=DRAWS)
    value = pair.rows[0].value - pair.rows[1].value
    bounds, p = interval_around(value, replicates), bootstrap_p(replicates)
    return Difference(
        **_named(pair), bounds=bounds, p=p, detectable=detectable_by_error(replicates.std()), replicates=replicates
    )


def _named(pair: Pair) -> dict[str, Any]:
    one, other = pair.rows
    return {
        "question": one.question,
        "metric": one.metric,
        "of": one.test_set,
        "at": one.resolution,
        "examples": len(pair.index),
        "first": one.value,
        "second": other.value,
    }


def _means(single: Sequence[Difference]) -> tuple[list[Difference], list[Difference]]:
    """The means over data sets at each resolution, and those over all of the means of every data set."""
    means, overall = [], []
    for name in dict.fromkeys((one.question, one.metric) for one in single):
        own = [one for one in single if (one.question, one.metric) == name]
        for at in dict.fromkeys(one.at for one in own):
            together = [one for one in own if one.at == at]
            means += [_mean(together, at)] if len(together) > 1 else []
        by_dataset = [[one for one in own if one.of == of] for of in dict.fromkeys(one.of for one in own)]
        overall += [_mean([_mean(each, "all") for each in by_dataset], "all")] if len(own) > 1 else []
    return means, overall


def _mean(differences: Sequence[Difference], at: int | str) -> Difference:
    datasets = {one.of: one.examples for one in differences}
    first, second = (float(np.mean([getattr(one, side) for one in differences])) for side in ("first", "second"))
    replicates = np.mean([one.replicates for one in differences], axis=0)
    return Difference(
        question=differences[0].question,
        metric=differences[0].metric,
        of=differences[0].of if len(datasets) == 1 else f"mean of {len(datasets)}",
        at=at,
        examples=sum(datasets.values()),
        first=first,
        second=second,
        bounds=interval_around(first - second, replicates),
        p=bootstrap_p(replicates),
        detectable=detectable_by_error(replicates.std()),
        replicates=replicates,
    )


def _corrected(differences: Sequence[Difference]) -> list[Difference]:
    values = holm([one.p for one in differences])
    return [replace(one, corrected=float(value)) for one, value in zip(differences, values, strict=True)]
