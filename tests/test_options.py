"""The page of all options says what the dataclasses say."""

import dataclasses
from typing import Annotated

import pytest

from lrjax.checks.ranges import Range
from lrjax.config import Config
from lrjax.questions.registry import QUESTIONS, find
from lrjax.runs import options


def lines(key, kind):
    return [line for section in options._sections(key, kind) for line in section.splitlines() if line.startswith("| `")]


def test_the_page_in_the_docs_is_what_the_command_writes(request):
    page = (request.config.rootpath / "docs" / "options.md").read_text(encoding="utf-8")
    assert options.document() + "\n" == page, "run: python -m lrjax.runs.options > docs/options.md"


def test_every_option_has_a_line():
    page = options.document()
    for name, kind in {f"questions.{name}": find(name) for name in QUESTIONS}.items():
        for field in dataclasses.fields(kind):
            assert page.count(f"\n| `config.{name}.{field.name}` | ") == 1
    for group in dataclasses.fields(Config):
        inner = dataclasses.fields(group.type) if dataclasses.is_dataclass(group.type) else [None]
        for field in inner:
            assert page.count(f"\n| `config.{group.name}{f'.{field.name}' if field else ''}` | ") == 1


def test_a_line_by_hand():
    @dataclasses.dataclass
    class Inner:
        """Of an option.

        Attributes:
            sides: in pixels,
                note: both.
        """

        sides: tuple[Annotated[int, Range(1, 2000)], ...] | None = (16, 32)

    @dataclasses.dataclass
    class Outer:
        """More.

        Above.

        Attributes:
            rate: a|b.

        Reference:
            none: it is made up.
        """

        rate: Annotated[float, Range(0, 10, above=True)]
        inner: Inner = dataclasses.field(default_factory=Inner)

    text, meanings = options._described(Outer)
    assert (text, meanings) == ("More.\n\nAbove.", {"rate": "a|b."})
    assert lines("config", Outer) == [
        r"| `config.rate` | `float`; above 0, up to 10 | required | a\|b. |",
        r"| `config.inner.sides` | `tuple[int, ...] \| None`; 1 to 2,000 | `(16, 32)` | in pixels, note: both. |",
    ]


def test_an_option_without_a_meaning_is_no_page():
    @dataclasses.dataclass
    class Silent:
        """Says nothing."""

        rate: float = 1.0

    with pytest.raises(KeyError, match="rate"):
        lines("config", Silent)
