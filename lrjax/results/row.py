"""One measured number: what it is, what it was measured on, and its line on disk."""

import dataclasses
import json
import math
import numbers
import re
from collections.abc import Mapping
from typing import Any

from lrjax.checks.parse import parse_json
from lrjax.checks.text import brief, one_line
from lrjax.errors import UserError

SCHEMA = 2
"""Version of the layout of a line in `RESULTS_FILE`; a line without one is of version 1, which is still read."""
_KEY = re.compile(r"[A-Za-z0-9_-]{1,128}")  # it becomes a file name
_COUNTS = ("parameters", "classes", "image_size", "images_seen")
_TEXT_FIELDS = ("model", "variant", "question", "kind", "dataset", "metric", "config_hash")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One measured number and what it was measured on.

    Attributes:
        model: name of the model; `extra` says which it is.
        variant: "vanilla", "lr_tk0", ...
        question: name of the question in the run.
        kind: what it asks, for instance "zeroshot"; several questions of a run may be of one kind.
        question_version: the version of the question.
        dataset: data set key, for instance "imagenet_a".
        condition: under which the number holds: "resolution", the side in pixels to which images were reduced, or "hr"
            for none; "corruption" and "severity"; "region"; and what questions add.
        metric: metric name, for instance "acc1".
        value: the number, finite; accuracies are fractions in [0, 1].
        n: number of examples behind the value, >= 1.
        key: hash of everything that determines the value (`content_key`); rows of one evaluation share it.
        config_hash: hash of the run's config.
        seed: random seed, or None where nothing is random.
        versions: package versions (`package_versions`).
        extra: further JSON-able facts; the report reads "backbone" (name in the zoo, that of the model where it is
            missing), "weights" (their hash), "source" (where they lie), "release" (whether they are the published ones
            of the backbone), "parameters" (count), "classes" (count), "image_size" (pixels), "expected" (count of
            images of the data set, or null), "images_seen" (count of those behind the value), "assumed"
            (`Dataset.assumed`), "skipped" (names of damaged images), "images" (`data.reopen.where`) and "asked" (hash
            of what was asked: the question, its options, captions and columns).
    """

    model: str
    variant: str
    question: str
    kind: str
    question_version: int
    dataset: str
    condition: Mapping[str, int | str]
    metric: str
    value: float
    n: int
    key: str
    config_hash: str
    seed: int | None
    versions: Mapping[str, str]
    extra: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in _TEXT_FIELDS:
            if not _is_text(value := getattr(self, name)):
                raise UserError(f"field {name!r} of a result is {brief(value)}, but must be a text in one line")
        if not isinstance(self.key, str) or not _KEY.fullmatch(self.key):
            raise UserError(
                f"field 'key' of a result is {brief(self.key)}, but must be a hash (letters, digits, '_' and '-')"
            )
        if not _is_integer(self.question_version):
            raise UserError(
                f"field 'question_version' of a result is {brief(self.question_version)}, but must be an integer"
            )
        if not isinstance(self.condition, Mapping):
            raise UserError(f"field 'condition' of a result is {brief(self.condition)}, but must be a mapping")
        for name, value in self.condition.items():
            if not _is_text(name) or not (_is_integer(value) or _is_text(value)):
                raise UserError(
                    f"field 'condition' of a result has {brief(name)}: {brief(value)}, but must hold integers or texts"
                )
        if _is_integer(self.resolution) and int(self.resolution) < 1:
            raise UserError(f"the resolution of a result is {self.resolution}, but must be at least 1 pixel")
        if not _is_finite(self.value):
            raise UserError(
                f"field 'value' of a result ({self.metric} of {self.model} on {self.dataset}) is {brief(self.value)}, "
                "but must be a finite number"
            )
        if not _is_integer(self.n) or self.n < 1:
            raise UserError(f"field 'n' of a result is {brief(self.n)}, but must be a count of at least 1")
        if self.seed is not None and not _is_integer(self.seed):
            raise UserError(f"field 'seed' of a result is {brief(self.seed)}, but must be an integer or null")
        for name, value in (("versions", self.versions), ("extra", self.extra)):
            if not isinstance(value, Mapping):
                raise UserError(f"field {name!r} of a result is {brief(value)}, but must be a mapping")
        for name in _COUNTS:
            if (value := self.extra.get(name)) is not None and (not _is_integer(value) or value < 0):
                raise UserError(f"extra[{name!r}] of a result is {brief(value)}, but must be a count or null")
        for name, kind in (("skipped", list | tuple), ("images", Mapping)):
            if not isinstance(self.extra.get(name), kind | None):
                raise UserError(f"extra[{name!r}] of a result is {brief(self.extra[name])}, which no run has written")
        # plain Python numbers, so that NumPy scalars can be given and JSON can be written
        for name, kind in (
            ("value", float),
            ("n", int),
            ("question_version", int),
            ("seed", int),
        ):
            if isinstance(getattr(self, name), numbers.Number):
                object.__setattr__(self, name, kind(getattr(self, name)))
        plain = {name: int(value) if _is_integer(value) else value for name, value in self.condition.items()}
        object.__setattr__(self, "condition", plain)

    @property
    def resolution(self) -> int | str:
        """Side in pixels to which images were reduced; "hr" where they were not."""
        return self.condition.get("resolution", "hr")

    @property
    def test_set(self) -> str:
        """The data set and what was done to its images, as in "imagenet+fog-3+foreground"."""
        done = "-".join(str(value) for name, value in self.condition.items() if name not in ("resolution", "region"))
        return "+".join(filter(None, (self.dataset, done, str(self.condition.get("region", "")))))

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells the number from all others."""
        return (
            self.model,
            self.variant,
            self.question,
            self.dataset,
            tuple(sorted(self.condition.items())),
            self.metric,
        )


_FIELDS = {field.name for field in dataclasses.fields(Row)}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and one_line(value) == value


def _is_integer(value: Any) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and abs(int(value)) < 2**63


def _is_finite(value: Any) -> bool:
    """Whether it is a number that a float holds."""
    try:
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def line_of(row: Row) -> str:
    """Returns the line of a row in `results.jsonl`."""
    fields = {field: getattr(row, field) for field in row.__dataclass_fields__}
    fields |= {"condition": dict(row.condition), "versions": dict(row.versions), "extra": dict(row.extra)}
    fields = {"schema": SCHEMA} | fields
    return json.dumps(fields, allow_nan=False, ensure_ascii=False) + "\n"


class OtherSchemaError(Exception):
    """A line has a layout of another version."""


def read_line(line: bytes) -> Row:
    """Returns the row of a line in `results.jsonl`.

    Raises:
        OtherSchemaError: of another version than 1 and `SCHEMA`.
        ValueError: the line is damaged.
        UserError: a value is none that a result can have.
    """
    fields = _fields(line)
    schema = fields.pop("schema", 1)
    if schema not in (1, SCHEMA):
        raise OtherSchemaError(repr(schema))
    return _row(_from_first_schema(fields) if schema == 1 else fields)


def _fields(line: bytes) -> dict[str, Any]:
    try:
        fields = parse_json(line.decode())
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from error
    if not isinstance(fields, dict):
        raise ValueError("it is not a JSON object")
    return fields


def _from_first_schema(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a line of schema 1, which had the resolution beside and other conditions inside of names."""
    if not {"evaluator", "evaluator_version", "resolution", "dataset"} <= fields.keys():
        return fields
    rest = {name: value for name, value in fields.items() if not name.startswith("evaluator") and name != "resolution"}
    dataset, condition = str(fields["dataset"]), {}
    if match := re.fullmatch(r"(.+)\+([a-z_]+)-(\d+)", dataset):
        dataset, condition = match[1], {"corruption": match[2], "severity": int(match[3])}
    elif match := re.fullmatch(r"(.+)_(foreground|background)", dataset):
        dataset, condition = match[1], {"region": match[2]}
    version = fields["evaluator_version"]
    return rest | {
        "dataset": dataset,
        "condition": condition | {"resolution": fields["resolution"]},
        "question": fields["evaluator"],
        "kind": fields["evaluator"],
        "question_version": version if _is_integer(version) else 0,
    }


def _row(fields: Mapping[str, Any]) -> Row:
    if missing := sorted(_FIELDS - fields.keys()):
        raise ValueError(f"missing {', '.join(missing)}")
    if unknown := sorted(fields.keys() - _FIELDS):
        raise ValueError(f"unknown {', '.join(unknown)}")
    return Row(**fields)
