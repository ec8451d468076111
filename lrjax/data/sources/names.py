"""Class names as they are spelled by people and by files, and classes looked up by them."""

import collections
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence

_SEPARATORS = re.compile(r"[\s_/\\,.:;!?'\"()\[\]{}\u2018\u2019\u201c\u201d]")
_DASH = re.compile(r"(?<=[^\s-])[-\u2010-\u2015](?=[^\s-])|(?<=\s)[-\u2010-\u2015](?=\s)")  # not in "A-" or "-1"


def exact(name: str) -> str:
    """Returns a name in NFC: files of macOS have "é" in two characters, and Korean syllables in two or three."""
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    """Without differences of case, width and outer spaces."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()


def _spaced(name: str) -> str:
    """With one space for separators; marks and symbols stay, for they tell "C", "C++" and "C#" apart."""
    return " ".join(_SEPARATORS.sub(" ", _DASH.sub(" ", _folded(name))).split())


def _ordered(name: str) -> str:
    return " ".join(sorted(_spaced(name).split()))


class Names:
    """Finds the classes that a name may mean.

    Args:
        lists: for each kind of name (class names, folders of the release) those of all classes, in the same order.
        wordnet: names of ImageNet's classes by their WordNet ids, such as n01440764.
    """

    def __init__(self, lists: Iterable[Sequence[str]], wordnet: Mapping[str, str] | None = None):
        lists, wordnet = list(lists), wordnet or {}
        self._forms = [(form, _labels_by(form, lists)) for form in (exact, _folded, _spaced, _ordered)]
        times = collections.Counter(wordnet.values())  # ImageNet has two "missile" and two "sunglasses"
        self._word_of = {one: name for one, name in wordnet.items() if times[name] == 1}

    def exactly(self, name: str) -> set[int]:
        """Returns the labels of the classes of exactly this name."""
        form, labels_of = self._forms[0]
        return labels_of.get(form(name), set())

    def find(self, name: str) -> set[int]:
        """Returns the labels of the classes whose names are closest to a name.

        These are the classes of exactly this name; where there is none, those whose names differ in case and width
        only; then in separators, too; then in the order of words; and then those that a WordNet id means. Two labels or
        more are a name that does not decide.
        """
        words = [name, self._word_of[name]] if name in self._word_of else [name]
        closest = (labels_of.get(form(word)) for word in words for form, labels_of in self._forms)
        return next(filter(None, closest), set())

    def in_path(self, path: str) -> tuple[str, set[int]]:
        """Returns the longest part of a path that is a name, and what it may mean; the path where there is none."""
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            runs = ["/".join(parts[start : start + length]) for start in range(len(parts) - length + 1)]
            if found := {run: labels for run in runs if (labels := self.find(run))}:
                return next(iter(found)), set().union(*found.values())
        return path, set()


def _labels_by(form: Callable[[str], str], lists: Sequence[Sequence[str]]) -> dict[str, set[int]]:
    labels_of: dict[str, set[int]] = {}
    for names in lists:
        for label, name in enumerate(names):
            labels_of.setdefault(form(name), set()).add(label)
    labels_of.pop("", None)
    return labels_of
