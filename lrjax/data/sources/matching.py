"""Labels of files to labels of a data set. A label is certain, or a doubt, or refused; it is never guessed.

Names decide: a label, a class folder, or the name that files give to a number is a class where it is spelled as that
class alone (`lrjax.data.sources.names`), and where no other label of the files is the same class.

Digits are names or positions, by one rule for all kinds of files:

1. All of them are names of classes: they are names. Where they would be other classes as positions, numbers are refused
   (JSON, Parquet, IDX), and so are digits in `.cls` beside a classnames.txt.
2. None of them is the name of another class than that at its position: they are positions. Numbers, and digits in files
   that cannot tell numbers from texts (CSV, `.cls`; "2.0" and "02" are 2), count from 0, or are positions in the larger
   data set that the classes were taken from; the names that files give to numbers decide before that. Digits as texts
   or folder names must count all classes, from 0 or from 1.
3. Otherwise they are refused.

Names of which none is known, as many as there are classes, are taken in sorted order with a doubt.
"""

import collections
import functools
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lrjax.data.source import Label
from lrjax.data.sources.base import ListedImages, Part
from lrjax.data.sources.folder import subfolders
from lrjax.data.sources.names import Names, exact
from lrjax.errors import UserError

_SPLIT = re.compile(
    r"(?:train|training|val|valid|validation|test|testing|dev|eval|evaluation)"
    r"(?:[-_.]?(?:[0-9]+|set|split)|[-_.](?:images|train|val|test|dev|std|challenge))*"
)
_NUMBER = re.compile(r"([+-]?[0-9]+)(\.0*)?")


def is_split(name: str) -> bool:
    """Tells by its name whether a folder holds the classes of a split, such as "train", "val2017" or "test-dev"."""
    return _SPLIT.fullmatch(name.lower()) is not None


class Match(NamedTuple):
    """How labels of files become labels of a data set.

    Attributes:
        label_of: the label of each number or name.
        by: "by name", "by number" or "in sorted order".
        doubts: what may be wrong with it.
    """

    label_of: Mapping[Any, int]
    by: str
    doubts: Sequence[str] = ()


class ClassNames:
    """The classes of a data set, found by any of their names.

    Args:
        dataset: name of the data set, for messages.
        lists: for each kind of name (folders of the release, class names) those of all classes, in the same order.
        indices: positions of the classes in the larger label space that they were taken from; None where there is none.
        wordnet: class names of WordNet ids such as n01440764.
    """

    def __init__(
        self,
        dataset: str,
        lists: Sequence[Sequence[str]],
        *,
        indices: Sequence[int] | None = None,
        wordnet: Mapping[str, str] | None = None,
    ):
        self.dataset, self.lists, self.indices, self.wordnet = dataset, lists, indices, wordnet or {}
        self.display, self.count = lists[-1], len(lists[0])
        self._names = Names(lists, wordnet)

    def find(self, name: str) -> int | None:
        """Returns the label of the class that a name means, or a WordNet id; None where that is not certain."""
        return _only(self._names.find(name))

    def fit(self, source: ListedImages) -> Part:
        """Returns a source with the labels of the data set.

        Raises:
            UserError: a label is of no class, or not certain.
        """
        if () in source.labels:
            raise UserError(f"image '{source.ids[source.labels.index(())]}' of '{source.location}' has no label")
        match = self._match(source, set(_flat(source.labels)))
        label_of = match.label_of
        labels: list[Label] = [
            tuple(label_of[one] for one in label) if isinstance(label, tuple) else label_of[label]
            for label in source.labels
        ]
        used, gaps = set(_flat(labels)), []
        if unused := [name for label, name in enumerate(self.display) if label not in used]:
            gaps = [f"no image of class '{unused[0]}' ({len(unused)} of {self.count} classes without images)"]
        return Part(source, range(len(source)), labels, matched=match.by, doubts=match.doubts, gaps=gaps)

    def folders(self, root: Path) -> Match | None:
        """Finds the class folders of a folder.

        Args:
            root: the folder.

        Returns:
            The label of each class folder, in the order of the labels; None where there is no folder.

        Raises:
            UserError: a class folder is missing, or one is of no class, or of one that is not certain.
        """
        spelled = functools.cache(lambda folder: _by_spelling(subfolders(root / folder)))
        for names in self.lists:
            exactly = [_below(name, spelled) for name in names]
            if None not in exactly and len(set(exactly)) == self.count:
                return Match({name: label for label, name in enumerate(exactly)}, "by name")
        if not (found := subfolders(root)):
            return None
        candidates = {name: self._names.find(name) for name in found}
        unknown = [name for name, labels in candidates.items() if len(labels) != 1]
        self._refuse_splits(root, unknown)
        if unknown and len(found) == self.count and (match := self._unknown(candidates, "class folders")) is not None:
            return match
        self._check_distinct(str(root), ((name, _only(labels)) for name, labels in candidates.items()))
        if unknown or len(found) < self.count:
            culprit = self._culprit(root, candidates, unknown)
            raise UserError(
                f"data set '{self.dataset}' has {self.count} classes and '{root}' {len(found)} folders: {culprit}; "
                "name the folders after the classes, or after the original release"
            )
        in_order = sorted((_sure(candidates[name]), name) for name in found)
        return Match({name: label for label, name in in_order}, "by name")

    def _match(self, source: ListedImages, distinct: set[int | str]) -> Match:
        numbers = _numbers(distinct, source.form)
        if numbers is None:
            texts = sorted(one for one in distinct if isinstance(one, str))
            if len(texts) < len(distinct):
                raise UserError(
                    f"labels of '{source.location}' are names and numbers, such as {texts[0]!r}; use one kind"
                )
            return self._by_name(source, texts)
        if source.names is not None and source.form == "typed":
            return self._by_number(source, numbers)
        # pandas writes 2.0, others 02
        named = {one: self._names.exactly(str(one)) or self._names.exactly(str(numbers[one])) for one in distinct}
        by_name = Match({label: _sure(labels) for label, labels in named.items() if len(labels) == 1}, "by name")
        all_named, last = len(by_name.label_of) == len(named), len(source.names or self.display)
        if all_named and not all(0 <= number < last for number in numbers.values()):
            return by_name
        match = self._by_number(source, numbers)
        others = [label for label, labels in named.items() if not labels <= {match.label_of[label]}]
        if others and all_named and source.form == "text" and source.names is None:
            return by_name
        if others:
            label = min(others, key=numbers.__getitem__)
            position = self.display[match.label_of[label]]
            raise UserError(
                f"label {label} of '{source.location}' is the name of a class of '{self.dataset}', and the number of "
                f"another, '{position}'; give class names as texts, as metadata.jsonl and .json files can"
            )
        return match

    def _by_name(self, source: ListedImages, texts: Sequence[str]) -> Match:
        if source.form == "folder":
            above = [text.partition("/")[0] for text in texts if "/" in text]
            self._refuse_splits(Path(source.location), above)
        find = self._names.in_path if source.form == "folder" else lambda text: (text, self._names.find(text))
        found = {text: find(text) for text in texts}
        candidates = {text: labels for text, (_, labels) in found.items()}
        unknown = [text for text, labels in candidates.items() if len(labels) != 1]
        what = "class folders" if source.form == "folder" else "labels"
        if unknown and len(texts) == self.count and (match := self._unknown(candidates, what)) is not None:
            return match
        self._check_distinct(source.location, ((exact(name), _only(labels)) for name, labels in found.values()))
        if unknown:
            raise UserError(
                f"class '{unknown[0]}' of '{source.location}' {self._meaning(candidates[unknown[0]])} of the "
                f"{self.count} classes of '{self.dataset}' ({len(unknown)} unknown); rename or remove it"
            )
        return Match({text: _sure(labels) for text, labels in candidates.items()}, "by name")

    def _by_number(self, source: ListedImages, numbers: Mapping[Any, int]) -> Match:
        used = set(numbers.values())
        if source.names is not None:
            label_of, by, doubts = self._by_number_and_name(source, source.names, used)
            return Match({label: label_of[number] for label, number in numbers.items()}, by, doubts)
        inside, doubts = all(0 <= number < self.count for number in used), []
        if self.indices and used <= set(self.indices):
            label_of = {number: label for label, number in enumerate(self.indices)}
            if not inside:
                return Match({label: label_of[number] for label, number in numbers.items()}, "by number")
            if any(label_of[number] != number for number in used):
                doubts = [f"labels taken as numbers among {self.count} classes, not in the whole: check a few images"]
        self._check_range(source, used)
        return Match(numbers, "by number", doubts)

    def _by_number_and_name(self, source: ListedImages, names: Sequence[str], numbers: set[int]) -> Match:
        if [exact(name) for name in names] in [[exact(name) for name in one] for one in self.lists]:
            self._check_range(source, numbers)
            return Match({number: number for number in numbers}, "by name")
        found = {number: self._numbered(number, name) for number, name in enumerate(names)}
        for number, folder in enumerate(source.folders or ()):
            if found[number] is None and folder is not None:
                found[number] = _only(self._names.in_path(folder)[1])
        known = {number: label for number, label in found.items() if label is not None}
        strange = sorted(numbers - known.keys())
        if not strange:
            self._check_distinct(source.location, ((f"{i} {names[i]}", found[i]) for i in sorted(found)))
            return Match({number: known[number] for number in numbers}, "by name")
        self._check_range(source, set(strange))
        culprit = names[strange[0]] if strange[0] < len(names) else "without a name"
        moved = [number for number, label in known.items() if label != number]
        if moved:
            raise UserError(
                f"class {strange[0]} of '{source.location}' is '{culprit}', none of the classes of "
                f"'{self.dataset}', and its class {moved[0]} is class {found[moved[0]]} there; mend the names"
            )
        agreed = sum(found.get(number) == number for number in range(self.count))
        doubt = (
            f"labels taken as numbers: class {strange[0]} is called '{culprit}' instead of "
            f"'{self.display[strange[0]]}', and only {agreed} of {self.count} names agree; check a few images"
        )
        certain = _only_numbers(names) or self._same_order(names, agreed)
        return Match({number: number for number in numbers}, "by number", [] if certain else [doubt])

    def _same_order(self, names: Sequence[str], agreed: int) -> bool:
        """Whether names of which some are unknown number the classes as the data set does.

        The hub's ImageNet has other words than CLIP for 182 of its classes. The order of names that are sorted tells
        nothing, for other words are elsewhere in it.
        """
        return self.count == len(names) >= 100 and agreed >= 0.8 * self.count and sorted(names) != list(names)

    def _numbered(self, number: int, name: str) -> int | None:
        """The class of a number with a name, or with words joined by commas of which one is a name."""
        candidates = self._names.find(name)
        words = candidates or set().union(*map(self._names.find, name.split(",")))
        if number in words and {self.display[label] for label in words} == {self.display[number]}:
            return number
        return _only(candidates)

    def _unknown(self, candidates: Mapping[str, set[int]], what: str) -> Match | None:
        """As many names as classes, of which some or all are unknown."""
        listed = sorted(candidates)
        in_order = {name: label for label, name in enumerate(listed)}
        if not any(candidates.values()):
            doubt = f"{what} carry none of the class names and are taken in sorted order: check a few labels"
            return self._counted(listed) or Match(in_order, "in sorted order", [doubt])
        if self.wordnet.keys() >= candidates.keys():
            words = [self.wordnet[name] for name in listed]
            found = [self._numbered(number, word) for number, word in enumerate(words)]
            known = [(number, label) for number, label in enumerate(found) if label is not None]
            if all(number == label for number, label in known) and self._same_order(words, len(known)):
                return Match(in_order, "in sorted order")
        return None

    def _counted(self, names: Sequence[str]) -> Match | None:
        """Digits that count all classes, from 0 or from 1."""
        numbers = _numbers(names, "text") or {}
        for first in (0, 1):
            label_of = {name: numbers[name] - first for name in sorted(numbers, key=numbers.__getitem__)}
            if list(label_of.values()) == list(range(len(names))):
                named = [self._names.exactly(str(number)) for number in numbers.values()]
                agree = all(labels <= {number - first} for labels, number in zip(named, numbers.values(), strict=True))
                return Match(label_of, "by number") if agree else None
        return None

    def _culprit(self, root: Path, candidates: Mapping[str, set[int]], unknown: Sequence[str]) -> str:
        if unknown:
            return f"'{root / unknown[0]}' {self._meaning(candidates[unknown[0]])} of its classes"
        names = max(self.lists, key=lambda names: len({*map(exact, names)} & {*map(exact, candidates)}))
        missing = next(label for label in range(self.count) if {label} not in candidates.values())
        return f"class folder '{names[missing]}' is missing"

    def _meaning(self, candidates: set[int]) -> str:
        names = " or ".join(f"'{self.display[label]}'" for label in sorted(candidates)[:3])
        return f"may be {names}" if names else "is none"

    def _refuse_splits(self, place: Path, names: Iterable[str]) -> None:
        splits = sorted({name for name in names if is_split(name) and not self._names.find(name)})
        if splits:
            part = place / max(splits, key=lambda name: name.lower().startswith(("test", "val")))
            remedy = f"give '{part}' as the location" if part.is_dir() else "make an archive of one split"
            raise UserError(f"'{place}' holds '{splits[0]}', a split, instead of class folders; {remedy}")

    def _check_range(self, source: ListedImages, numbers: set[int]) -> None:
        if outside := sorted(number for number in numbers if not 0 <= number < self.count):
            raise self._outside(source, outside[-1], numbers)

    def _outside(self, source: ListedImages, number: int, numbers: set[int]) -> UserError:
        read = ((_numbers(_flat([label]), "text") or {}).values() for label in source.labels)
        place = next(i for i, found in enumerate(read) if number in found)
        hint = "labels start at 0" if min(numbers) == 1 and max(numbers) == self.count else "correct it"
        return UserError(
            f"label {number} of image '{source.ids[place]}' of '{source.location}' is outside 0 to {self.count - 1} of "
            f"'{self.dataset}'; {hint}"
        )

    def _check_distinct(self, place: str, named: Iterable[tuple[Any, int | None]]) -> None:
        first: dict[int, Any] = {}
        for name, label in named:
            if label is not None and str(first.setdefault(label, name)) != str(name):
                raise UserError(
                    f"classes '{first[label]}' and '{name}' of '{place}' are both '{self.display[label]}' of "
                    f"'{self.dataset}'; rename one"
                )


def _numbers(labels: Iterable[int | str], form: str) -> dict[int | str, int] | None:
    """The number of each label; None where one has none, or where texts are names."""
    found = {}
    for label in labels:
        match = _NUMBER.fullmatch(label) if isinstance(label, str) and form == "text" else None
        if isinstance(label, str) and match is None:
            return None
        found[label] = label if match is None else int(match[1])
    return found


def _only_numbers(names: Sequence[str]) -> bool:
    """Whether names of numbers are these numbers, as TFDS and the hub write them where there are no names."""
    return list(names) == [str(number) for number in range(len(names))]


def _by_spelling(folders: Iterable[str]) -> dict[str, str]:
    """Folders by their names in NFC, but those of which two are equal."""
    names = collections.Counter(map(exact, folders))
    return {exact(name): name for name in folders if names[exact(name)] == 1}


def _below(name: str, spelled: Callable[[str], Mapping[str, str]]) -> str | None:
    """The folder of a name, as it is spelled on disk; None where there is none."""
    found = ""
    for part in name.split("/"):
        folder = spelled(found).get(exact(part))
        if folder is None:
            return None
        found = f"{found}/{folder}" if found else folder
    return found


def _flat(labels: Iterable[Label]) -> list[int | str]:
    return [one for label in labels for one in (label if isinstance(label, tuple) else (label,))]


def _sure(labels: set[int]) -> int:
    (label,) = labels
    return label


def _only(labels: set[int]) -> int | None:
    return next(iter(labels)) if len(labels) == 1 else None
