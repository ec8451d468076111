"""Labels of files to labels of a data set: by class name where there are names, by number where there are none."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lrjax.data.sources.base import Label, ListedImages, Part
from lrjax.data.sources.folder import subfolders
from lrjax.errors import UserError


class Match(NamedTuple):
    """How labels of files become labels of a data set.

    Attributes:
        label_of: the label of each number or name.
        by: "by name", "by number" or "in sorted order".
        doubts: what may be wrong with it.
    """

    label_of: Mapping[Label, int]
    by: str
    doubts: Sequence[str] = ()


class ClassNames:
    """The classes of a data set, found by any of their names.

    Args:
        dataset: name of the data set, for messages.
        lists: for each kind of name (class names, folders of the release) those of all classes, in the same order.
        indices: positions of the classes in the larger label space that they were taken from; None where there is none.
    """

    def __init__(self, dataset: str, lists: Sequence[Sequence[str]], *, indices: Sequence[int] | None = None):
        self.dataset, self.indices = dataset, indices
        self.count = len(lists[0])
        # ImageNet has two classes "missile" and two "sunglasses": such lists of names tell nothing.
        self.lists = [names for names in lists if len(set(names)) == len(names)]
        self.display = lists[-1]
        self._orders = [[normalised(name) for name in names] for names in lists]
        self._exact, self._words = {}, {}
        for names in self.lists:
            for label, name in enumerate(names):
                self._exact.setdefault(normalised(name), label)
                self._words.setdefault(_words(name), set()).add(label)

    def find(self, name: str) -> int | None:
        """Returns the label of a class by its name, or of the class folder that holds it, ignoring case, punctuation
        and the order of words.
        """
        parts = name.split("/")
        runs = [parts[i:j] for i in range(len(parts)) for j in range(i + 1, len(parts) + 1)]
        for run in sorted(runs, key=len, reverse=True):
            text = "/".join(run)
            if (label := self._exact.get(normalised(text))) is not None:
                return label
            if len(found := self._words.get(_words(text), ())) == 1:
                return next(iter(found))
        return None

    def fit(self, source: ListedImages) -> Part:
        """Returns a source with the labels of the data set.

        Raises:
            UserError: a class name is unknown, a number is out of range, or names and numbers contradict each other.
        """
        distinct = {one for label in source.labels for one in (label if isinstance(label, tuple) else (label,))}
        if () in source.labels:
            raise UserError(f"image '{source.ids[source.labels.index(())]}' of '{source.location}' has no label")
        texts = {one for one in distinct if isinstance(one, str)}
        if texts and len(texts) < len(distinct):
            raise UserError(
                f"labels of '{source.location}' are names and numbers, such as {min(texts)!r}; use one kind"
            )
        match = self._by_name(source, sorted(texts)) if texts else self._by_number(source, distinct)
        label_of, doubts = match.label_of, [*match.doubts]
        labels: list[Label] = [
            tuple(label_of[one] for one in label) if isinstance(label, tuple) else label_of[label]
            for label in source.labels
        ]
        used = {one for label in labels for one in (label if isinstance(label, tuple) else (label,))}
        if unused := [name for label, name in enumerate(self.display) if label not in used]:
            doubts.append(f"no image of class '{unused[0]}' ({len(unused)} of {self.count} classes without images)")
        return Part(source, range(len(source)), labels, matched=match.by, doubts=doubts)

    def _by_name(self, source: ListedImages, texts: Sequence[str]) -> Match:
        found = {text: self.find(text) for text in texts}
        unknown = [text for text, label in found.items() if label is None]
        if len(unknown) == len(texts) == self.count:
            return _in_order(texts)
        if unknown:
            raise UserError(
                f"class '{unknown[0]}' of '{source.location}' is none of the {self.count} classes of "
                f"'{self.dataset}' ({len(unknown)} unknown); rename or remove it"
            )
        self._check_distinct(source, found)
        return Match(found, "by name")

    def _by_number(self, source: ListedImages, numbers: set[int]) -> Match:
        if source.names is not None:
            return self._by_number_and_name(source, source.names, numbers)
        if self.indices and max(numbers) >= self.count and numbers <= set(self.indices):
            return Match({number: label for label, number in enumerate(self.indices)}, "by number")
        self._check_range(source, numbers)
        return Match({number: number for number in numbers}, "by number")

    def _by_number_and_name(self, source: ListedImages, names: Sequence[str], numbers: set[int]) -> Match:
        if [normalised(name) for name in names] in self._orders:
            self._check_range(source, numbers)
            return Match({number: number for number in numbers}, "by name")
        found = {number: self.find(name) for number, name in enumerate(names)}
        for number, folder in enumerate(source.folders or ()):
            if found[number] is None and folder is not None:
                found[number] = self.find(folder)
        known = {number: label for number, label in found.items() if label is not None}
        strange = sorted(numbers - known.keys())
        if not strange:
            self._check_distinct(source, {names[number]: known[number] for number in numbers})
            return Match(known, "by name")
        self._check_range(source, set(strange))
        expected, culprit = self.display[strange[0]], names[strange[0]] if strange[0] < len(names) else "without a name"
        moved = [number for number, label in known.items() if number != label]
        if moved:
            raise UserError(
                f"class {strange[0]} of '{source.location}' is '{culprit}', none of the classes of "
                f"'{self.dataset}', and its class {moved[0]} is class {known[moved[0]]} there; mend the names"
            )
        agreed = sum(self._agrees(number, name) for number, name in enumerate(names[: self.count]))
        doubt = (
            f"labels taken as numbers: class {strange[0]} is called '{culprit}' instead of '{expected}', and "
            f"only {agreed} of {self.count} names agree; check a few images"
        )
        doubts = [doubt] if 2 * agreed < self.count else []
        return Match({number: number for number in numbers}, "by number", doubts)

    def _agrees(self, number: int, name: str) -> bool:
        """Whether a name, or one of several joined by commas, is that of a class."""
        expected = {names[number] for names in self._orders}
        return any(normalised(one) in expected for one in (name, *name.split(",")))

    def _check_range(self, source: ListedImages, numbers: set[int]) -> None:
        if outside := sorted(number for number in numbers if not 0 <= number < self.count):
            raise self._outside(source, outside[-1], numbers)

    def _outside(self, source: ListedImages, number: int, numbers: set[int]) -> UserError:
        place = next(i for i, label in enumerate(source.labels) if number in (label, *_parts(label)))
        hint = "labels start at 0" if min(numbers) == 1 and max(numbers) == self.count else "correct it"
        return UserError(
            f"label {number} of image '{source.ids[place]}' of '{source.location}' is outside 0 to {self.count - 1} of "
            f"'{self.dataset}'; {hint}"
        )

    def _check_distinct(self, source: ListedImages, found: Mapping[str, int | None]) -> None:
        first: dict[int | None, str] = {}
        for text, label in found.items():
            # images of class "a" may be in the folders "a/1" and "a/2"
            if label in first and "/" not in text and normalised(first[label]) != normalised(text):
                raise UserError(
                    f"classes '{first[label]}' and '{text}' of '{source.location}' are both '{self.display[label]}' of "
                    f"'{self.dataset}'; rename one"
                )
            first.setdefault(label, text)

    def folders(self, root: Path) -> Match | None:
        """Finds the class folders of a folder.

        They are recognised, in this order: by the class names or the folder names of the original release; by the same
        ignoring case and punctuation; and if none of them is known, as many folders as classes are taken in sorted
        order (names of digits by value). The last rule is right for WordNet ids, and for numbers that count the classes
        in the order of the data set.

        Args:
            root: the folder.

        Returns:
            The label of each class folder, in the order of the labels; None where there is no folder.

        Raises:
            UserError: a class folder is missing, or one is of no class.
        """
        for candidate in self.lists:
            if all((root / name).is_dir() for name in candidate):
                return Match({name: label for label, name in enumerate(candidate)}, "by name")
        found = subfolders(root)
        by_name = {normalised(folder): folder for folder in found}
        for candidate in self.lists:
            if all(normalised(name) in by_name for name in candidate):
                return Match({by_name[normalised(name)]: label for label, name in enumerate(candidate)}, "by name")
        known = {normalised(name) for candidate in self.lists for name in candidate}
        unknown = [folder for folder in found if normalised(folder) not in known]
        if len(unknown) == len(found) == self.count:
            return _in_order(found)
        if not found:
            return None
        if unknown or not self.lists:
            culprit = f"'{root / (unknown or found)[0]}' is none of its classes"
        else:
            closest = min(self.lists, key=lambda one: sum(normalised(name) not in by_name for name in one))
            missing = next(name for name in closest if normalised(name) not in by_name)
            culprit = f"class folder '{missing}' is missing"
        raise UserError(
            f"data set '{self.dataset}' has {self.count} classes and '{root}' {len(found)} folders: {culprit}; "
            "name the folders after the classes, or after the original release"
        )


def normalised(name: str) -> str:
    """Returns a class name in lower case with runs of other characters than letters and digits as one space."""
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def _in_order(names: Sequence[str]) -> Match:
    """Takes names in sorted order, those of digits by value."""
    listed = sorted(names, key=lambda name: (int(name), name) if name.isdigit() else (-1, name))
    label_of = {name: label for label, name in enumerate(listed)}
    if all(name.isdigit() for name in names):
        return Match(label_of, "by number")
    doubt = "class folders carry none of the class names and are taken in sorted order: check a few labels"
    return Match(label_of, "in sorted order", [doubt])


def _words(name: str) -> tuple[str, ...]:
    return tuple(sorted(normalised(name).split()))


def _parts(label: Label) -> tuple[int | str, ...]:
    return label if isinstance(label, tuple) else ()
