"""Key templates: `{i}` stands for the index on the leading axis of the leaves, `{i+1}` for that index plus one."""

import re
from functools import cache

_INDEX = re.compile(r"\{i(\+1)?\}")


@cache
def first_number(template: str) -> int | None:
    """Return the number that stands in the key of index 0: 0 or 1, or None for a template without an index."""
    found = _INDEX.search(template)
    return None if found is None else int(found[1] is not None)


def is_match(template: str, key: str) -> bool:
    """Tell whether a key has the form of a template."""
    return _pattern(template).fullmatch(key) is not None


def find_index(template: str, key: str) -> int | None:
    """Return the index that a key of the template's form belongs to; None for a template without an index."""
    first = first_number(template)
    if first is None:
        return None
    found = _pattern(template).fullmatch(key)
    assert found is not None, f"{key} has not the form {template}"
    return int(found[1]) - first


def stack_name(template: str, key: str) -> str:
    """Return the part of a key that stands before the number, which names the stack of blocks."""
    return key[: template.index("{i")]


def make_key(template: str, index: int) -> str:
    """Return the key of an index."""
    return _INDEX.sub(str(index + (first_number(template) or 0)), template)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    number = "([1-9][0-9]*)" if first_number(template) else "(0|[1-9][0-9]*)"
    parts = re.split(r"\{i(?:\+1)?\}", template)
    return re.compile(number.join(re.escape(part).replace(r"\*", ".*") for part in parts))
