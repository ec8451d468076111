"""Text of others in a form that can be printed."""

import pytest

from lrjax.checks.text import brief, one_line, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dog, Köln, 犬, e\u0301, \U0001f469\u200d\U0001f52c", None),
        ("two\nlines\tand a tab", None),
        ("\x1b[2J\x07\x7f\x85\x9b", r"\x1b[2J\x07\x7f\x85\x9b"),
        ("a\u202eb\u2066c\u200fd", r"a\u202eb\u2066c\u200fd"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("a\rb\0c", r"a\rb\x00c"),
        ("a\udcffb", r"a\udcffb"),
    ],
)
def test_only_what_steers_a_terminal_is_escaped(text, shown):
    assert printable(text) == (text if shown is None else shown)


def test_one_line():
    assert one_line("a\n b\r\n\tc\x1b") == r"a b c\x1b"


def test_a_brief_value_is_brief_whatever_it_shares():
    laughs = ["ha"] * 9
    for _ in range(40):  # 9 to the power of 40 items
        laughs = [laughs] * 9
    itself = {}
    itself["itself"] = itself
    for value in (laughs, itself, "x" * 10**6, [1] * 10**6, 10**1000):
        assert len(brief(value)) < 400
    assert brief({"a": [1, "b", None]}) == "{'a': [1, 'b', None]}"
