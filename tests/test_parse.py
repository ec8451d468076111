"""JSON and YAML that no program should fail on."""

import itertools

import pytest

from lrjax.checks.parse import DEEPEST, parse_json, parse_yaml

LAUGHS = "a: &a [ha, ha]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.parametrize("levels", [DEEPEST + 1, 500, 10**5])
@pytest.mark.parametrize(("opening", "closing"), ["[]", ('{"a":', "}")])
def test_what_is_nested_too_deeply_is_refused(parse, levels, opening, closing):
    with pytest.raises(ValueError, match="nested more than 64 levels"):
        parse(opening * levels + "1" + closing * levels)
    assert parse(opening * DEEPEST + "1" + closing * DEEPEST)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LAUGHS, "aliases make more than"),
        ("&a [*a]", "refers to itself"),
        ("&a {b: *a}", "refers to itself"),
        ("a: [", "expected"),
        ("a: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("a: 2001-99-99", "month"),
        ("? [a]\n: 1", "unhashable"),
        ("a: \0", "special characters"),
    ],
)
def test_yaml_that_is_refused(text, words):
    with pytest.raises(ValueError, match=words):
        parse_yaml(text)


def test_aliases_of_a_sensible_number_are_read():
    assert parse_yaml("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("text", ["", "[1,]", "1" * 5000, b"\xff\xfe"])
def test_json_that_is_refused(text):
    with pytest.raises(ValueError, match=r"line 1|digits|utf"):
        parse_json(text)
