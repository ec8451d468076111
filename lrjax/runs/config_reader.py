"""From nested mappings to a configuration, with errors for keys and values that do not fit."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from lrjax.checks.ranges import check_ranges
from lrjax.checks.text import brief
from lrjax.config import Config, unknown_key
from lrjax.errors import UserError
from lrjax.questions.base import Question
from lrjax.questions.registry import blamed, find
from lrjax.questions.zeroshot import ZeroShot

T = TypeVar("T")


def _is_group(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _check(value: Any, kind: Any, key: str) -> Any:
    """Returns `value` in the form of the annotation `kind`, or raises a UserError that names `key`."""
    if _is_group(kind):
        if not isinstance(value, Mapping):
            raise UserError(f"config.{key} must be a group of keys, not {brief(value)}")
        return from_mapping(kind, value, prefix=f"{key}.")
    if kind is Any:
        return value
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _check(value, inner[0], key)
    if origin is Mapping:
        if not isinstance(value, Mapping):
            raise UserError(f"config.{key} must be a mapping, not {brief(value)}")
        return {_check(name, inner[0], key): _check(item, inner[1], f"{key}.{name}") for name, item in value.items()}
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise UserError(f"config.{key} must be a tuple, not {brief(value)}")
        kinds = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        if len(kinds) != len(value):
            raise UserError(f"config.{key} must have {len(kinds)} values, not {brief(value)}")
        return tuple(_check(item, item_kind, key) for item, item_kind in zip(value, kinds, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise UserError(f"config.{key} must be of type {kind.__name__}, not {brief(value)}")
    return value


def from_mapping(kind: type[T], mapping: Mapping[str, Any], *, prefix: str = "") -> T:
    """Builds a configuration (or a group of it) from nested mappings.

    Args:
        kind: `Config`, or the class of a group.
        mapping: keys and values; what it leaves out keeps its default.
        prefix: path of the group, for messages.

    Raises:
        UserError: a key is unknown or missing, or a value has the wrong type or is out of range.
    """
    values = _checked(kind, mapping, prefix)
    if kind is Config:
        values["questions"] = _complete(values.get("questions", {"zeroshot": {}}))
    found = kind(**values)
    if isinstance(found, Config):
        _check_accuracies(found)
    return found


def read_questions(config: Config) -> dict[str, Question]:
    """Returns the questions of a run, by name."""
    return {name: _question(name, options) for name, options in config.questions.items()}


def _complete(questions: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """All options of every question, checked."""
    return {
        name: {"type": kind_of(name, options)} | dataclasses.asdict(_question(name, options))
        for name, options in questions.items()
    }


def _question(name: str, options: Mapping[str, Any]) -> Any:
    kind, prefix = find(kind_of(name, options)), f"questions.{name}."
    values = _checked(kind, {key: value for key, value in options.items() if key != "type"}, prefix)
    try:
        with blamed(name, kind_of(name, options)):
            question = kind(**values)
    except UserError as error:
        raise UserError(f"config.{prefix}{error}") from error
    check_ranges(question, f"config.{prefix[:-1]}")
    return question


def _check_accuracies(config: Config) -> None:
    """Checks that the accuracies are measured that other parts of a configuration want."""
    zeroshot = [one for one in read_questions(config).values() if isinstance(one, ZeroShot)]
    if config.train.evaluate_every and not zeroshot:
        raise UserError("config.train.evaluate_every measures accuracy; add zeroshot to config.questions")
    sides = {"hr"} | {str(side) for one in zeroshot for side in one.resolutions}
    for name in config.ablation.metrics if config.ablation.rows else ():
        if name[3:] not in sides:
            raise UserError(
                f"config.ablation.metrics has {name!r}; add the side to config.questions.zeroshot.resolutions"
            )


def kind_of(name: str, options: Mapping[str, Any]) -> str:
    """Returns what the question of a name asks."""
    return str(options.get("type", name))


def _checked(kind: type, mapping: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """The values of a dataclass, checked against its annotations."""
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in mapping:
        if key not in fields:
            raise unknown_key(key, fields, prefix)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in mapping:
            raise UserError(f"config key {prefix}{name} is missing")
    hints = typing.get_type_hints(kind)
    return {key: _check(value, hints[key], f"{prefix}{key}") for key, value in mapping.items()}


def check_key(key: str) -> None:
    """Checks that a configuration has a key.

    Args:
        key: names of groups and a name, joined by dots: "train.steps".

    Raises:
        UserError: it has not.
    """
    kind, prefix = Config, ""
    for name in key.split("."):
        if typing.get_origin(kind) is Mapping:
            kind, prefix = typing.get_args(kind)[1], f"{prefix}{name}."
            continue
        if not dataclasses.is_dataclass(kind):
            raise UserError(f"unknown config key {key}; config.{prefix[:-1]} is a value, not a group of keys")
        hints = typing.get_type_hints(kind)
        if name not in hints:
            raise unknown_key(name, hints, prefix)
        kind, prefix = hints[name], f"{prefix}{name}."


def with_defaults(mapping: Mapping[str, Any], kind: type = Config) -> dict[str, Any]:
    """Returns the nested mapping of a configuration (or a group), completed by the defaults.

    Args:
        mapping: keys and values, not yet checked.
        kind: `Config`, or the class of a group.
    """
    values, hints = dict(mapping), typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        group = hints[field.name]
        if _is_group(group):
            if isinstance(values.setdefault(field.name, {}), Mapping):
                values[field.name] = with_defaults(values[field.name], group)
        elif field.default is not dataclasses.MISSING:
            values.setdefault(field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            values.setdefault(field.name, field.default_factory())
    if kind is Config and isinstance(values["questions"], Mapping):
        values["questions"] = {name: _all_options(name, options) for name, options in values["questions"].items()}
    return values


def _all_options(name: str, options: Any) -> Any:
    if not isinstance(options, Mapping):
        return options
    return {"type": kind_of(name, options)} | with_defaults(options, find(kind_of(name, options)))
