"""Answers of other programs, as JSON lines.

One line per example, of one or several data sets, such as

    {"dataset": "cars", "id": 17, "label": 3, "guess": 5}

- "dataset": its name. To be compared with a run, that of the run.
- "id" (or "index"): a whole number or a text, one of its own for every example. To be compared with a run, the
  position in the data set, from 0, which the run stores as "index".
- "label" (or "target"): the right class, a whole number from 0 or a text, or a list of several right ones. To be
  compared with a run, numbers in the order of its classes.
- "guess": the answer, of the same kind, or null for none; it is right where it is the label, or one of them. Or
  "correct": true, false, 1 or 0.
- "resolution", where images were reduced: their side in pixels; "hr", the default, for none.

Other fields are passed over. The metric is "acc1" of the question "zeroshot", which runs have too.

The files that the Language Model Evaluation Harness writes with --log_samples, samples_TASK_DATE.jsonl, are read as
they are, known by the field "doc_id": it is the id, TASK the data set, "target" the label, and where both sides have a
"doc_hash" it must be the same; a "filter" other than "none" is a condition. Every metric that is a finite number for
all examples is compared, its mean being the result, as a share of right ones where all are 0 or 1; others are named
and left out. A directory of such files is one system.
"""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lrjax.checks.files import read_text
from lrjax.checks.parse import parse_json
from lrjax.checks.text import brief
from lrjax.compare.systems import Answers, System, by_key
from lrjax.errors import UserError
from lrjax.leaderboard.scores import HIGH_RESOLUTION, KIND, METRIC
from lrjax.metrics.label_sets import NO_LABEL
from lrjax.questions.case import Outcomes
from lrjax.results.row import Row

HARNESS = "lm-eval"
"""The question that the files of the harness answer."""
_NAME = re.compile(r"samples_(.+?)(_\d{4}-\d\d-\d\dT[\d.-]+)?\.jsonl")
_NO_METRICS = {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"}
_NO_METRICS |= {"doc_hash", "prompt_hash", "target_hash"}

_Line = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Example:
    """A line, however it was written; `values` are by metric, `content` what else tells examples apart."""

    question: str
    dataset: str
    condition: tuple[tuple[str, int | str], ...]
    identity: int | str
    labels: tuple[int | str, ...]
    content: str | None
    values: Mapping[str, Any]


def system_of_files(name: str, paths: Sequence[Path]) -> System:
    """Reads the answers of another program.

    Args:
        name: what the user calls it.
        paths: the files, one or more.

    Raises:
        UserError: a line is wrong, or a file has none; the message names it.
    """
    cells: dict[tuple[Any, ...], dict[int | str, _Example]] = {}
    for place, line, file in [(*each, path) for path in paths for each in _lines(path)]:
        one = _of_harness(place, line, file) if "doc_id" in line else _of_line(place, line)
        examples = cells.setdefault((one.question, one.dataset, one.condition), {})
        if one.identity in examples:
            raise UserError(f"{place} is another line for example {one.identity!r} of {one.dataset}; leave one out")
        examples[one.identity] = one
    rows, answers, left_out = [], {}, []
    for examples in cells.values():
        one, samples = next(iter(examples.values())), _samples(name, list(examples.values()))
        where = "+".join((one.dataset, *(str(value) for _, value in one.condition)))
        for metric in dict.fromkeys(metric for example in examples.values() for metric in example.values):
            values = _numbers([example.values.get(metric) for example in examples.values()])
            if values is None:
                left_out.append(f"{name}: {metric} of {where} is no finite number for every example.")
                continue
            rows.append(_row(name, one, metric, values, key=str(len(rows))))
            answers[rows[-1].key] = Answers(samples, Outcomes(samples["index"], (values,)))
    if not rows:
        raise UserError(f"{name} has no metric that is a finite number for every example, so nothing can be compared")
    found = by_key(rows)
    return System(
        name=name,
        rows=found,
        headlines=frozenset(found),
        answers=lambda row: answers[row.key],
        left_out=tuple(dict.fromkeys(left_out)),
    )


def _lines(path: Path) -> list[tuple[str, _Line]]:
    """The objects of a file, each with its place."""
    found = []
    try:
        texts = read_text(path).split("\n")
    except ValueError as error:
        raise UserError(f"{path} is no UTF-8 text ({error}); give JSON lines") from error
    for number, text in enumerate(texts, start=1):
        if not text.strip():
            continue
        place = f"{path}, line {number},"
        try:
            line = parse_json(text)
        except ValueError as error:
            raise UserError(f"{place} is not JSON ({error}); write an object for each example") from error
        if not isinstance(line, dict):
            raise UserError(f"{place} is {brief(line)}; write an object for each example")
        found.append((place, line))
    if not found:
        raise UserError(f"{path} is empty; write a line for each example")
    return found


def _of_line(place: str, line: _Line) -> _Example:
    dataset = _field(place, line, "dataset")
    labels = _labels(place, _field(place, line, "label", "target"))
    resolution = line.get("resolution", HIGH_RESOLUTION)
    if isinstance(resolution, bool) or not (
        resolution == HIGH_RESOLUTION or (isinstance(resolution, int) and resolution > 0)
    ):
        raise UserError(f'{place} has the resolution {brief(resolution)}; give a side in pixels, or "hr"')
    return _Example(
        question=KIND,
        dataset=_text(place, "dataset", dataset),
        condition=(("resolution", resolution),),
        identity=_identity(place, _field(place, line, "id", "index")),
        labels=labels,
        content=None,
        values={METRIC: _right(place, line, labels)},
    )


def _of_harness(place: str, line: _Line, path: Path) -> _Example:
    if not (match := _NAME.fullmatch(path.name)):
        raise UserError(f"{path} has lines of lm-eval, but not its name; call it samples_TASK.jsonl, with its task")
    filtered = _text(place, "filter", line.get("filter", "none"))
    names = line.get("metrics")
    metrics = names if isinstance(names, list) else [name for name in line if name not in _NO_METRICS]
    return _Example(
        question=HARNESS,
        dataset=match[1],
        condition=() if filtered == "none" else (("filter", filtered),),
        identity=_identity(place, line["doc_id"]),
        labels=(json.dumps(_field(place, line, "target"), sort_keys=True),),
        content=None if line.get("doc_hash") is None else _text(place, "doc_hash", line["doc_hash"]),
        values={_text(place, "metrics", name): line.get(name) for name in metrics},
    )


def _field(place: str, line: _Line, *names: str) -> Any:
    found = [name for name in names if name in line]
    if len(found) != 1:
        wanted = " or ".join(map(repr, names))
        raise UserError(f"{place} has {'both' if found else 'no'} {wanted}; see `lrjax.compare.foreign` for the format")
    return line[found[0]]


def _text(place: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{place} has {brief(value)} for {name!r}; give a text")
    return value


def _identity(place: str, value: Any) -> int | str:
    if not _is_class(value):
        raise UserError(f"{place} has the id {brief(value)}; give a whole number from 0, or a text")
    return value


def _labels(place: str, value: Any) -> tuple[int | str, ...]:
    labels = value if isinstance(value, list) else [value]
    if not labels or not all(map(_is_class, labels)) or len({type(one) for one in labels}) > 1:
        raise UserError(f"{place} has the label {brief(value)}; give a whole number from 0, a text, or a list of them")
    return tuple(sorted(set(labels)))


def _is_class(value: Any) -> bool:
    return (isinstance(value, str) and value != "") or (
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    )


def _right(place: str, line: _Line, labels: tuple[int | str, ...]) -> bool:
    answer = _field(place, line, "guess", "correct")
    if "correct" in line:
        if not isinstance(answer, bool | int | float) or answer not in (0, 1):
            raise UserError(f"{place} has {brief(answer)} for 'correct'; give true, false, 1 or 0")
        return bool(answer)
    if answer is not None and (not _is_class(answer) or type(answer) is not type(labels[0])):
        raise UserError(f"{place} has the guess {brief(answer)} and the label {brief(labels[0])}; give the same kind")
    return answer in labels


def _samples(name: str, examples: Sequence[_Example]) -> dict[str, np.ndarray]:
    """The arrays that a run stores too: positions, or other names, and labels; numbers where all are."""
    for kind, found in (("ids", [{type(one.identity)} for one in examples]), ("labels", _label_types(examples))):
        if len(set.union(*found)) > 1:
            raise UserError(f"{name} has both numbers and texts as {kind} of {examples[0].dataset}; give one kind")
    most, empty = max(len(one.labels) for one in examples), "" if _is_text(examples) else NO_LABEL
    labels = np.array([[*one.labels, *[empty] * (most - len(one.labels))] for one in examples])
    samples = {"index": np.array([one.identity for one in examples]), "label": labels}
    if all(one.content is not None for one in examples):
        samples["content"] = np.array([one.content for one in examples])
    return samples


def _label_types(examples: Sequence[_Example]) -> list[set[type]]:
    return [{type(label) for label in one.labels} for one in examples]


def _is_text(examples: Sequence[_Example]) -> bool:
    return isinstance(examples[0].labels[0], str)


def _numbers(values: Sequence[Any]) -> np.ndarray | None:
    """Bool where all values are 0 or 1, else floats; None where they are no finite numbers."""
    if not all(isinstance(one, bool | int | float) and math.isfinite(one) for one in values):
        return None
    return np.array(values, bool) if all(one in (0, 1) for one in values) else np.array(values, np.float64)


def _row(name: str, one: _Example, metric: str, values: np.ndarray, *, key: str) -> Row:
    return Row(
        model=name,
        variant="answers",
        question=one.question,
        kind=one.question,
        question_version=0,
        dataset=one.dataset,
        condition=dict(one.condition),
        metric=metric,
        value=float(values.mean()),
        n=len(values),
        key=key,
        config_hash="none",
        seed=None,
        versions={},
    )
