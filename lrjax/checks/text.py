"""Text of others, such as names of files and models, in a form that can be printed."""

import reprlib
import unicodedata
from typing import Any

_REORDERING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_HIDDEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of characters, ends of lines and paragraphs


def printable(text: str) -> str:
    r"""Returns a text with escapes such as \x1b in place of what would steer a terminal or reorder a line.

    Args:
        text: any text; its line ends and tabs stay.
    """
    return "".join(_escaped(one) if _is_hidden(one) else one for one in text)


def one_line(text: str) -> str:
    """Returns a text without line ends, and printable."""
    return printable(" ".join(text.split()))


def brief(value: Any) -> str:
    """Returns the `repr` of a value for a message: cut off where it is long, whatever lists and mappings it holds."""
    return _BRIEF.repr(value)


def _is_hidden(one: str) -> bool:
    return one not in "\n\t" and (one in _REORDERING or unicodedata.category(one) in _HIDDEN)


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode()


_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxstring, _BRIEF.maxother, _BRIEF.maxlong = 2, 120, 120, 60
