"""From nested mappings to a configuration, with errors for keys and values that do not fit."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from lrjax.checks.text import brief
from lrjax.config import Config, unknown_key
from lrjax.errors import UserError

T = TypeVar("T")


def _check(value: Any, kind: Any, key: str) -> Any:
    """Returns `value` in the form of the annotation `kind`, or raises a UserError that names `key`."""
    if dataclasses.is_dataclass(kind):
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
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in mapping:
        if key not in fields:
            raise unknown_key(key, fields, prefix)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in mapping:
            raise UserError(f"config key {prefix}{name} is missing")
    hints = typing.get_type_hints(kind)
    return kind(**{key: _check(value, hints[key], f"{prefix}{key}") for key, value in mapping.items()})


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
        if dataclasses.is_dataclass(group):
            if isinstance(values.setdefault(field.name, {}), Mapping):
                values[field.name] = with_defaults(values[field.name], group)
        elif field.default is not dataclasses.MISSING:
            values.setdefault(field.name, field.default)
        elif field.default_factory is not dataclasses.MISSING:
            values.setdefault(field.name, field.default_factory())
    return values
