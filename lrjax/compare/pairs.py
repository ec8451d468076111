"""Two results on the same examples: the same question under the same condition, checked by all that is stored of it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from lrjax.compare.systems import Answers, Key, NotComparableError, System
from lrjax.display.tables import counted
from lrjax.leaderboard.scores import other_images
from lrjax.metrics.label_sets import NO_LABEL
from lrjax.questions.case import Outcomes
from lrjax.results.row import Row

_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two results on the same examples.

    Attributes:
        key: what they have in common.
        rows: that of each system.
        outcomes: of each, the examples in the same order.
    """

    key: Key
    rows: tuple[Row, Row]
    outcomes: tuple[Outcomes, Outcomes]

    @property
    def index(self) -> np.ndarray:
        """What tells the examples apart, [n], ascending."""
        return self.outcomes[0].index

    @property
    def binary(self) -> bool:
        """Whether the metric is the share of examples that are right."""
        return all(one.binary for one in self.outcomes)


def pair_up(key: Key, first: System, second: System) -> Pair:
    """Finds the two results of a key.

    Raises:
        NotComparableError: one is missing, they answer different questions or are on different examples, or what is
            stored by example does not give them.
        UserError: what is stored is damaged.
    """
    for side, system in (("A", first), ("B", second)):
        if key not in system.rows:
            raise NotComparableError(f"{side} has no such result")
    one, other = first.rows[key], second.rows[key]
    if one.kind != other.kind or _differ(one, other, "asked"):
        raise NotComparableError("another question of this name, or other options of it")
    if other_images(one, other):
        counts = f", {one.n} for A and {other.n} for B" if one.n != other.n else ""
        raise NotComparableError(f"not on the same examples{counts}")
    if _differ(one, other, "classes"):
        raise NotComparableError(f"{one.extra['classes']} classes for A, but {other.extra['classes']} for B")
    answers = first.answers(one), second.answers(other)
    _check_labels(*(each.samples for each in answers))
    outcomes = _in_order(one, answers[0]), _in_order(other, answers[1])
    if not _equal(outcomes[0].index, outcomes[1].index):
        raise NotComparableError("not on the same examples")
    return Pair(key=key, rows=(one, other), outcomes=outcomes)


def _differ(one: Row, other: Row, name: str) -> bool:
    """Whether both tell a fact, and not the same."""
    facts = one.extra.get(name), other.extra.get(name)
    return None not in facts and facts[0] != facts[1]


def _in_order(row: Row, answers: Answers) -> Outcomes:
    found = answers.outcomes
    order = np.argsort(found.index)
    index, values = found.index[order], tuple(one[order] for one in found.values)
    if len(np.unique(index)) != len(index):
        raise NotComparableError("its examples are not told apart")
    if not abs(found.statistic(*values) - row.value) <= _ROUNDING * max(1, abs(row.value)):  # nor of what is NaN
        raise NotComparableError(f"what is stored by example does not give the {row.value:g} of {row.model}")
    return replace(found, index=index, values=values)


def _check_labels(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> None:
    """Checks what both store of the examples beside answers."""
    for name in ("label", "content"):
        if all({"index", name} <= each.keys() for each in (first, second)):
            if not _equal(*(np.sort(each["index"]) for each in (first, second))):
                raise NotComparableError("not on the same examples")
            one, other = (_sets(each[name][np.argsort(each["index"])]) for each in (first, second))
            if wrong := sum(mine != yours for mine, yours in zip(one, other, strict=True)):
                raise NotComparableError(f"the {name} of {wrong} of {counted(len(one), 'example')} is not the same")


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether the names of examples are the same, numbers being no texts."""
    return (one.dtype.kind == "U") == (other.dtype.kind == "U") and np.array_equal(one, other)


def _sets(labels: np.ndarray) -> list[set]:
    """The labels of every example, without what fills its row."""
    return [set(row) - {NO_LABEL, ""} for row in labels.reshape(len(labels), -1).tolist()]
