"""What image sources share: random access to listed images, parts of a source, and fingerprints."""

import functools
import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from lrjax.data.content import digests
from lrjax.data.images import decode
from lrjax.data.source import Derived, Label, Source
from lrjax.errors import UserError

T = TypeVar("T")


class ListedImages(Source):
    """Images whose ids and labels are known without reading them.

    A kind of source gives these, implements `encoded` and sets `files`, all files that hold images. Its labels are
    those of the files: numbers or class names. `form` is what texts among the labels are: "typed" in files that tell
    them from numbers, "text" in files that do not (CSV), and "folder" for paths of folders, of which some part is a
    class name.

    Args:
        location: what errors call the source.
        ids: name of each image, unique.
        labels: a number, a class name, or a tuple of these for each image.
        names: class names of the numbers 0, 1, ...; None where the files do not tell.
        folders: for each number the folder of the images of this class, where it has one of its own; None where the
            files do not tell.

    Raises:
        UserError: there is no image, or an id occurs twice.
    """

    ids: Sequence[str]
    labels: Sequence[Label]
    files: Sequence[Path]
    form: Literal["typed", "text", "folder"] = "typed"

    def __init__(
        self,
        location: Any,
        ids: Sequence[str],
        labels: Sequence[Label],
        names: Sequence[str] | None = None,
        folders: Sequence[str | None] | None = None,
    ):
        self.location, self.ids, self.labels = str(location), ids, labels
        self.names = None if names is None else tuple(names)
        self.folders = folders
        if not ids:
            raise UserError(f"'{location}' holds no image; add images, or correct the location")
        name, times = Counter(ids).most_common(1)[0]
        if times > 1:
            raise UserError(f"'{location}' lists image '{name}' {times} times; keep it once")

    def encoded(self, index: int) -> Any:
        """Returns the path or the encoded bytes of an image."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        image = decode(self.encoded(index), name=f"{self.location}/{self.ids[index]}")
        return {"image": image, "label": self.labels[index], "id": self.ids[index]}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the ids and labels of all images, and of the content of their files."""
        return content_fingerprint(zip(self.ids, self.labels, strict=True), self.files)


class Part(Derived):
    """Some images of a source, with labels of their own.

    Args:
        source: the whole.
        positions: of the images in the whole.
        labels: label of each of them, a number or a tuple of numbers; None keeps those of the whole.
        matched: how the labels were matched with the classes, such as "by name".
        doubts: what may be wrong with the labels.
        gaps: what the images lack, such as some classes, though all labels are right.
    """

    def __init__(
        self,
        source: Source,
        positions: Sequence[int] | np.ndarray,
        labels: Sequence[Label] | None = None,
        *,
        matched: str = "by name",
        doubts: Sequence[str] = (),
        gaps: Sequence[str] = (),
    ):
        super().__init__(source)
        self.positions, self._labels = positions, labels
        self.ids, self.origins = self._chosen(source.ids), self._chosen(source.origins)
        self.labels, self.captions = labels or self._chosen(source.labels), self._chosen(source.captions)
        self.columns = {name: [column[one] for one in positions] for name, column in source.columns.items()}
        self.matched = source.matched or matched
        self.doubts, self.gaps = (*source.doubts, *doubts), (*source.gaps, *gaps)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.source[int(self.positions[index])]
        return row if self._labels is None else row | {"label": self._labels[index]}

    def _chosen(self, column: Sequence[T] | None) -> Sequence[T] | None:
        return None if column is None else [column[position] for position in self.positions]

    @functools.cached_property
    def fingerprint(self) -> str:
        """That of the whole, with a hash of the positions and labels where they are others."""
        if self._labels is None and isinstance(self.positions, range) and len(self) == len(self.source):
            return self.source.fingerprint
        labels = self._labels or [None] * len(self)
        return f"{self.source.fingerprint}:{fingerprint(zip(map(int, self.positions), labels, strict=True))}"


def content_fingerprint(rows: Iterable[Sequence[Any]], files: Sequence[str | os.PathLike]) -> str:
    """Returns a hash of rows of numbers and texts, and of the content of files, in their order.

    Raises:
        UserError: a file is gone or cannot be read.
    """
    return fingerprint(itertools.chain(rows, [digests(files)]))


def fingerprint(rows: Iterable[Sequence[Any]]) -> str:
    """Returns a hash of rows of numbers and texts."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row, ensure_ascii=True).encode() + b"\n")
    return digest.hexdigest()


def as_labels(value: Any, *, place: str) -> Label:
    """Returns a label as a file gives it, a whole number, a class name or a list of these, in the form of a source.

    Args:
        value: what the file holds.
        place: what the error calls it.

    Raises:
        UserError: it is something else.
    """
    labels = value if isinstance(value, (list, tuple)) else [value]
    for one in labels:
        if isinstance(one, bool) or not isinstance(one, (int, str)) or (isinstance(one, str) and not one.strip()):
            raise UserError(f"{place} has the label {value!r}; give a whole number, a class name, or a list of these")
    return tuple(labels) if isinstance(value, (list, tuple)) else value
