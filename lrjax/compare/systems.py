"""What is compared: a model or a variant of a run, or the answers of another program, by what the user calls it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lrjax.errors import UserError
from lrjax.questions.case import Outcomes
from lrjax.questions.registry import blamed, find
from lrjax.results.row import Row
from lrjax.results.store import find_samples, read_rows

MOST_NAMES = 20
"""Models and variants that a message lists."""


class Key(NamedTuple):
    """What two results must have in common to be compared.

    Attributes:
        question: name of the question in the run.
        metric: name of the metric.
        dataset: key of the data set.
        condition: under which they hold, in order, without that of whole images.
    """

    question: str
    metric: str
    dataset: str
    condition: tuple[tuple[str, int | str], ...]


class NotComparableError(Exception):
    """A result cannot be compared; the message says why, in a clause."""


@dataclass(frozen=True)
class Answers:
    """What a system answered to each example.

    Attributes:
        samples: what was stored of it, "label" and "content" among them where both tell what the examples are.
        outcomes: what the metric is made of.
    """

    samples: Mapping[str, np.ndarray]
    outcomes: Outcomes


@dataclass(frozen=True, kw_only=True)
class System:
    """One side of a comparison.

    Attributes:
        name: what it is called.
        rows: its results.
        headlines: those that stand for their question.
        answers: gives the answers behind a result; raises NotComparableError where it cannot.
        left_out: what its files hold beside results, a sentence each.
    """

    name: str
    rows: Mapping[Key, Row]
    headlines: frozenset[Key]
    answers: Callable[[Row], Answers]
    left_out: tuple[str, ...] = ()


def by_key(rows: Iterable[Row]) -> dict[Key, Row]:
    """Returns results by what they must have in common to be compared."""
    found = {}
    for row in rows:
        condition = sorted(item for item in row.condition.items() if item != ("resolution", "hr"))
        found[Key(row.question, row.metric, row.dataset, tuple(condition))] = row
    return found


def split_name(name: str) -> tuple[Path, str]:
    """Splits RUN:MODEL/VARIANT, where both parts may have colons: the path is the longest that exists.

    Args:
        name: of the command line.

    Returns:
        The path, and what is chosen of it, "" for all.

    Raises:
        UserError: nothing of that name exists.
    """
    ends = [len(name), *(at for at in reversed(range(len(name))) if name[at] == ":")]
    for end in ends:
        if name[:end] and Path(name[:end]).exists():
            return Path(name[:end]), name[end + 1 :]
    raise UserError(
        f"there is no {name.partition(':')[0] or name!r}; name a directory with results.jsonl, one model of it as "
        "DIR:MODEL, one variant as DIR:MODEL/VARIANT, or a JSONL file"
    )


def system_of_run(name: str, directory: Path, chosen: str) -> System:
    """Finds one model in one variant in the results of a run.

    Args:
        name: what the user calls it.
        directory: where `results.jsonl` is.
        chosen: MODEL, MODEL/VARIANT, or "" where there is only one.

    Raises:
        UserError: there are no results, none of that name, or several.
    """
    by_system: dict[tuple[str, str], list[Row]] = {}
    for row in read_rows([directory]):
        by_system.setdefault((row.model, row.variant), []).append(row)
    found = [one for one in by_system if chosen in ("", one[0], "/".join(one))]
    if len(found) != 1:
        names = ["/".join(one) for one in found or by_system]
        listed = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if names[MOST_NAMES:] else "")
        wrong = f"{name} is several systems" if found else f"{directory} has no {chosen!r}"
        raise UserError(f"{wrong}; name one of {listed}, as in {directory}:{names[-1]}")
    rows, samples = by_key(by_system[found[0]]), find_samples([directory])
    headlines = frozenset(key for key, row in rows.items() if row.metric == _headline(row))
    return System(name=name, rows=rows, headlines=headlines, answers=lambda row: _answers(row, samples))


def _headline(row: Row) -> str:
    try:
        return find(row.kind).headline
    except UserError:  # a question from outside that is gone: `_answers` says so
        return row.metric


def _answers(row: Row, samples: Callable[[str], Mapping[str, np.ndarray] | None]) -> Answers:
    try:
        question = find(row.kind)
    except UserError as error:
        raise NotComparableError("the file of its question is not found") from error
    if row.question_version != question.version:
        raise NotComparableError(
            f"it was made by version {row.question_version} of the question, which has version {question.version}: "
            "evaluate again"
        )
    arrays = samples(row.key)
    if arrays is None:
        raise NotComparableError("no arrays are stored beside it: evaluate again")
    with blamed(row.question, row.kind):
        outcomes = question.outcomes(arrays).get(row.metric)
    if outcomes is None:
        raise NotComparableError("its question keeps no values by example")
    return Answers(arrays, outcomes)
