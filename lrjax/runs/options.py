"""Every option of a recipe with its type, default, range and meaning, read from the dataclasses, as Markdown.

python -m lrjax.runs.options > docs/options.md
"""

import dataclasses
import inspect
import re
import sys
import textwrap
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from lrjax.checks.ranges import Range
from lrjax.command_line import run, say
from lrjax.config import Config
from lrjax.questions.registry import QUESTIONS, find

_HEAD = """# Options

This page is written by `python -m lrjax.runs.options > docs/options.md` from
[lrjax/config.py](../lrjax/config.py) and the [questions](../lrjax/questions). Do not edit it by hand.

A recipe sets options as keys of a `ConfigDict`. On the command line each is `--config.KEY=VALUE` or
`--config.KEY VALUE` and replaces the value of the recipe: `--config.seed=1`, `--config.train.tokens=False`,
`--config.data.names=dtd,pets`, `--config.data.sources.cars=webdataset:/data/cars.tar`. An unknown key, a value of the
wrong type and one out of range are refused before anything runs. "~" in a path is your home."""


def document() -> str:
    """Returns the page of all options.

    Raises:
        KeyError: the docstring of a group does not say what an option means.
    """
    sections = [_HEAD, *_sections("config", Config)]
    for name in QUESTIONS:
        question = find(name)
        measured = f"It is asked of data sets with {question.asks_of}, and its main metric is `{question.headline}`."
        sections += [*_sections(f"config.questions.{name}", question), measured]
    return "\n\n".join(sections)


def _sections(key: str, kind: type) -> Iterator[str]:
    """Yields the heading, text and table of a group, and then those of the groups in it."""
    text, meanings = _described(kind)
    types, ranges = typing.get_type_hints(kind), typing.get_type_hints(kind, include_extras=True)
    lines, inner = ["| option | type and range | default | meaning |", "| --- | --- | --- | --- |"], []
    for field in dataclasses.fields(kind):
        name, hint = f"{key}.{field.name}", types[field.name]
        if dataclasses.is_dataclass(hint):
            inner.append((name, hint))
            continue
        shown = f"`{inspect.formatannotation(hint)}`".replace("collections.abc.", "")
        cells = (f"`{name}`", "; ".join((shown, *_ranges(ranges[field.name]))), _default(field), meanings[field.name])
        lines.append(" | ".join(("", *(cell.replace("|", r"\|") for cell in cells), "")).strip())
    yield from (f"## {key}", text, "\n".join(lines))
    for name, hint in inner:
        yield from _sections(name, hint)


def _described(kind: type) -> tuple[str, dict[str, str]]:
    """The text of a docstring above "Attributes:", and what it says of each attribute."""
    text, _, below = (inspect.getdoc(kind) or "").partition("Attributes:\n")
    attributes = textwrap.dedent(below.partition("\n\n")[0])
    entries = re.split(r"^(\w+): ", attributes, flags=re.MULTILINE)[1:]
    meanings = {name: " ".join(meaning.split()) for name, meaning in zip(entries[::2], entries[1::2], strict=True)}
    return text.strip(), meanings


def _ranges(hint: Any) -> list[str]:
    """The ranges of the numbers in a type, in words."""
    if typing.get_origin(hint) is Annotated:
        return [_range(one) for one in hint.__metadata__ if isinstance(one, Range)]
    found = [text for one in typing.get_args(hint) if one is not ... for text in _ranges(one)]
    return list(dict.fromkeys(found))


def _range(limits: Range) -> str:
    low, high = (f"{limit:,}" for limit in (limits.low, limits.high))
    return f"above {low}, up to {high}" if limits.above else f"{low} to {high}"


def _default(field: dataclasses.Field) -> str:
    if field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    elif field.default is dataclasses.MISSING:
        return "required"
    else:
        value = field.default
    return f"`{value!r}`".replace("'", '"')


if __name__ == "__main__":
    sys.exit(run(lambda: say(document())))
