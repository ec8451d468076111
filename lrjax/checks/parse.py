"""JSON and YAML of others: what cannot be used is a ValueError, however it is written."""

import json
from typing import Any

import yaml

DEEPEST = 64
"""Levels of lists and mappings."""
MOST = 10**6
"""Lists and mappings of a YAML file, each as often as aliases repeat it."""


def parse_json(text: str | bytes) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: it is no JSON, or nested more than `DEEPEST` levels.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    _check(value, most=None)
    return value


def parse_yaml(text: str) -> Any:
    """Returns the value of a YAML text of plain values.

    Raises:
        ValueError: it is no YAML, refers to itself, is nested more than `DEEPEST` levels, or repeats by aliases more
            than `MOST` lists and mappings.
    """
    try:
        value = yaml.safe_load(text)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
    _check(value, most=MOST)
    return value


_TOO_DEEP = f"it refers to itself, or is nested more than {DEEPEST} levels"


def _check(value: Any, *, most: int | None) -> None:
    found, level = 0, [value]
    for _ in range(DEEPEST + 1):
        level = [one for one in level if isinstance(one, dict | list)]
        found += len(level)
        if not level:
            return
        if most is not None and found > most:
            raise ValueError(f"aliases make more than {most} lists and mappings of it")
        level = [item for one in level for item in (one.values() if isinstance(one, dict) else one)]
    raise ValueError(_TOO_DEEP)
