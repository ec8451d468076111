"""Lists of images: split files of CoOp, and tables beside the images as Hugging Face's imagefolder has them."""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from lrjax.checks.files import check_inside, read_text
from lrjax.checks.parse import parse_json
from lrjax.checks.text import brief
from lrjax.data.source import Label
from lrjax.data.sources.base import ListedImages, as_labels
from lrjax.data.sources.tree import by_suffix, gaps, identity, walk
from lrjax.errors import UserError

METADATA = ("metadata.jsonl", "metadata.csv")
CAPTIONS = ("caption", "text")


class ImageFiles(ListedImages):
    """Image files below a folder, listed with their labels.

    Args:
        location: what errors call the list.
        folder: where the paths start.
        paths: of the images, relative to the folder; they are the ids.
        labels: of the images.
        names: class names of the numbers 0, 1, ...; None where they are unknown.
        folders: for each number the folder of its images, where it has one of its own; None where they are unknown.

    Raises:
        UserError: the list is empty, names an image twice, or one that does not exist.
    """

    def __init__(
        self,
        location: Any,
        folder: Path,
        paths: Sequence[str],
        labels: Sequence[Label],
        names: Sequence[str] | None = None,
        folders: Sequence[str | None] | None = None,
    ):
        super().__init__(location, paths, labels, names, folders)
        for path in paths:
            check_inside(path, place=f"'{location}'")
        self.files = [folder / path for path in paths]
        missing = [path for path, file in zip(paths, self.files, strict=True) if not file.is_file()]
        if missing:
            raise UserError(
                f"'{location}' lists image '{missing[0]}', which is not in '{folder}' ({len(missing)} missing); "
                "unpack the images there"
            )

    def encoded(self, index: int) -> Path:
        """Returns the path of an image."""
        return self.files[index]


def open_split(path: str | os.PathLike, split: str = "test") -> ImageFiles:
    """Opens a part of a split file of CoOp, {"test": [[path, number, class name], ...], "train": ..., "val": ...}.

    The paths start at the folder of the file or at a folder in it, whichever has the first image.

    Args:
        path: of the file.
        split: the part.

    Raises:
        UserError: the file is unreadable, has another form, or its images are missing.

    Reference: Zhou et al. 2022, Learning to Prompt for Vision-Language Models, arXiv 2109.01134.
    """
    path = Path(path)
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get(split), list):
        known = ", ".join(content) if isinstance(content, dict) else "no split"
        raise UserError(f"split file '{path}' has no list '{split}' (it has {known}); name another file")
    names: dict[int, str] = {}
    parents: dict[int, set[str]] = {}
    for part, rows in content.items():
        for number, row in enumerate(rows):
            shape = [type(one) for one in row] if isinstance(row, list) else None
            if shape != [str, int, str] or row[1] < 0:
                raise UserError(f"row {number} of '{part}' in '{path}' is {row!r}; write [path, label, class name]")
            if names.setdefault(row[1], row[2]) != row[2]:
                raise UserError(f"split file '{path}' calls label {row[1]} {names[row[1]]!r} and {row[2]!r}; mend it")
            parents.setdefault(row[1], set()).add(str(PurePosixPath(row[0]).parent))
    rows = content[split]
    if sorted(names) != list(range(len(names))):
        gap = next(number for number in range(len(names)) if number not in names)
        raise UserError(f"split file '{path}' has no class with label {gap}; number the classes from 0 without a gap")
    listed = [names[number] for number in range(len(names))]
    folders = [min(parents[number]) if len(parents[number]) == 1 else None for number in range(len(names))]
    folder = folder_of(path.parent, rows[0][0]) if rows else path.parent
    return ImageFiles(path, folder, [row[0] for row in rows], [row[1] for row in rows], listed, folders)


def open_metadata(folder: str | os.PathLike, split: str = "test", *, captioned: bool = False) -> ImageFiles:
    """Opens a folder with a table metadata.jsonl or metadata.csv of `file_name` and `label`, or captions.

    Captions are in a column `caption` or `text`: one of them, or in JSON a list; several rows of one image have one
    caption each. Of the other columns `origin` tells the data set of each image; all that every row has are `columns`.
    `left_out` tells of the files beside the table that no row names, `gaps` of those that may be images.

    Args:
        folder: with the table, or with a folder `split` that has it; the file names start at the table.
        split: name of that folder.
        captioned: whether captions are read instead of labels.

    Raises:
        UserError: there is no table, it is unreadable, a column is missing, or images are missing.
    """
    places = [place / name for place in (Path(folder), Path(folder) / split) for name in METADATA]
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        raise UserError(f"folder '{folder}' has neither {' nor '.join(METADATA)}; add one, or use another kind")
    rows = [(f"row {number} of '{table}'", row) for number, row in _table_rows(table)]
    wanted = CAPTIONS if captioned else ("label",)
    for place, row in rows:
        _check_columns(row, wanted, place=place)
    if captioned:
        rows, captions = _by_image(rows)
    images = ImageFiles(
        table,
        table.parent,
        [row["file_name"] for _, row in rows],
        [-1 if captioned else as_labels(row["label"], place=place) for place, row in rows],
    )
    images.captions = captions if captioned else None
    there = set.intersection(*(set(row) for _, row in rows)) - {"file_name", "label", *(CAPTIONS if captioned else ())}
    images.columns = {name: [row[name] for _, row in rows] for name in sorted(there)}
    if None not in (origins := images.columns.get("origin", [None])):
        images.origins = origins
    images.form = "text" if table.suffix == ".csv" else "typed"
    images.left_out = by_suffix(path.relative_to(table.parent).as_posix() for path in _unnamed(table, images.files))
    images.gaps = gaps(images.left_out, images=f"name them in '{table}', or keep them elsewhere")
    return images


def _by_image(rows: Sequence[tuple[str, dict[str, Any]]]) -> tuple[list[tuple[str, dict[str, Any]]], list[list[str]]]:
    """The first row of each image, and the captions of all of its rows."""
    first: dict[str, tuple[str, dict[str, Any]]] = {}
    captions: dict[str, list[str]] = {}
    for place, row in rows:
        given = next(row[name] for name in CAPTIONS if row.get(name) not in (None, ""))
        texts = given if isinstance(given, list) else [given]
        if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
            raise UserError(f"{place} has the caption {brief(given)}; give a text, or a list of texts")
        first.setdefault(row["file_name"], (place, row))
        captions.setdefault(row["file_name"], []).extend(texts)
    return list(first.values()), list(captions.values())


def _unnamed(table: Path, named: Sequence[Path]) -> list[Path]:
    tree, listed = walk(table.parent), (table, *named)
    texts = {*map(os.path.normpath, listed)}
    others = [path for path in (*tree.images, *tree.others) if os.path.normpath(path) not in texts]
    # through a link, a row may name a file by another path than the walk
    known = {identity(path) for path in listed} if others else set()
    return [path for path in others if not path.exists() or identity(path) not in known]


def only_file(path: Path, pattern: str) -> Path:
    """Returns a file, or the one file in a folder whose name fits a pattern.

    Raises:
        UserError: there is none, or several.
    """
    if path.is_file():
        return path
    found = sorted(path.glob(pattern))
    if len(found) != 1:
        raise UserError(f"'{path}' has {len(found) or 'no'} files {pattern}; give the path of one file")
    return found[0]


def read_json(path: Path) -> Any:
    """Returns the content of a JSON file.

    Raises:
        UserError: it cannot be read or is no JSON.
    """
    try:
        return parse_json(read_text(path))
    except (OSError, ValueError) as error:
        raise UserError(f"'{path}' cannot be read as JSON ({error}); mend or replace it") from error


def _check_columns(row: Any, wanted: Sequence[str], *, place: str) -> None:
    found = row if isinstance(row, dict) else {}
    there = {
        "file_name": isinstance(found.get("file_name"), str),
        " or ".join(wanted): any(found.get(name) not in (None, "") for name in wanted),
    }
    if not all(there.values()):
        lacking = " and no ".join(name for name in there if not there[name])
        raise UserError(f"{place} has no {lacking} (its columns: {', '.join(found) or 'none'}); give both")


def _table_rows(table: Path) -> list[tuple[int, Any]]:
    try:
        text = read_text(table)
        if table.suffix == ".csv":
            return _csv_rows(table, text)
        lines = [line for line in text.split("\n") if line.strip()]
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"'{table}' cannot be read ({error}); mend or replace it") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            rows.append((number, parse_json(line)))
        except ValueError as error:
            raise UserError(f"line {number} of '{table}' is not JSON ({error}); mend it") from error
    return rows


def _csv_rows(table: Path, text: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with commas, or the semicolons or tabs of spreadsheets, and perhaps blanks behind them."""
    form: dict[str, Any] = {"skipinitialspace": True, "delimiter": ","}
    for delimiter in ",;\t":
        if "file_name" in next(csv.reader([text.partition("\n")[0]], **{**form, "delimiter": delimiter}), ()):
            form["delimiter"] = delimiter
    found = list(enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True, **form), 1))
    for number, row in found:
        if None in row:
            raise UserError(
                f"row {number} of '{table}' has more values than the first; put texts with commas in quotes"
            )
    return found


def folder_of(parent: Path, path: str) -> Path:
    """Returns the folder, `parent` or one in it, that has a file `path`; `parent` where none has.

    Raises:
        UserError: several folders in `parent` have it.
    """
    if (parent / path).is_file():
        return parent
    found = [folder for folder in sorted(parent.iterdir()) if (folder / path).is_file()]
    if len(found) > 1:
        raise UserError(f"image '{path}' is in '{found[0]}' and in '{found[1]}'; keep one of these folders")
    return found[0] if found else parent
