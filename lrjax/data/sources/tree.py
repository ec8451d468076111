"""Folders of images, walked: every real folder once, and what is left out is told."""

import os
import posixpath
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lrjax.data.images import FORMATS, SUFFIXES
from lrjax.data.source import LeftOut
from lrjax.errors import UserError

_HARMLESS = {
    ".cls", ".csv", ".db", ".htm", ".html", ".ini", ".json", ".jsonl", ".log", ".mat", ".md", ".npy", ".npz", ".tsv",
    ".txt", ".xml", ".yaml", ".yml",
}  # fmt: skip
"""Suffixes of what commonly lies beside images: labels, annotations, captions, notes, thumbnails of file managers."""


class Tree(NamedTuple):
    """What a walk found.

    Attributes:
        images: sorted.
        others: other files, sorted.
        repeated: links to folders that the walk was in already.
    """

    images: list[Path]
    others: list[Path]
    repeated: list[Path]


def is_image(name: str | os.PathLike) -> bool:
    """Tells by its suffix whether a file is read as an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def identity(path: str | os.PathLike) -> tuple[int, int]:
    """Returns what two paths of one real file or folder have in common."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def walk(folder: Path) -> Tree:
    """Finds all visible files below a folder, as `walk_classes` does."""
    return walk_classes([folder])[0]


def walk_classes(folders: Sequence[Path]) -> list[Tree]:
    """Finds all visible files below each of several folders, through links too, in every real folder once.

    Real folders come before links, so that a link to a folder beside it adds nothing. A link to a folder that the walk
    started in, or above it, would give the images of others.

    Raises:
        UserError: a folder cannot be read, or belongs to two of the folders.
    """
    seen: dict[tuple[int, int], tuple[int, Path]] = {}
    above = {one for folder in folders for one in (*folder.absolute().parents, *folder.resolve().parents)}
    above = {identity(one) for one in above}
    found: list[list[Path]] = [[] for _ in folders]
    repeated: list[list[Path]] = [[] for _ in folders]
    starts = list(enumerate(folders))
    while starts:
        links: list[tuple[int, Path]] = []
        for number, parent, names, files in (
            (one, *step) for one, start in starts for step in os.walk(start, onerror=_unreadable)
        ):
            path = Path(parent)
            names[:] = sorted(name for name in names if not name.startswith("."))
            place = identity(path)
            owner, first = seen.setdefault(place, (number, path))
            if owner != number:
                raise UserError(
                    f"the images of '{path}' are of the class folder '{folders[owner]}' and of '{folders[number]}'; "
                    "an image has one class, remove the link or move the folder"
                )
            if first is not path or (place in above and path not in folders):
                repeated[number].append(path)
                names.clear()
                continue
            links += [(number, one) for one in (path / name for name in names) if one.is_symlink()]
            found[number] += [path / file for file in files if not file.startswith(".")]
        starts = links
    return [
        Tree(
            sorted(path for path in files if is_image(path)),
            sorted(path for path in files if not is_image(path)),
            sorted(again),
        )
        for files, again in zip(found, repeated, strict=True)
    ]


def by_suffix(names: Iterable[str]) -> dict[str, LeftOut]:
    """Counts files that are left out by their suffix in lower case.

    Args:
        names: of the files, in order.
    """
    found: dict[str, LeftOut] = {}
    for name in names:
        suffix = posixpath.splitext(name)[1].lower()
        count, first = found.get(suffix, LeftOut(0, name))
        found[suffix] = LeftOut(count + 1, first)
    return found


def gaps(
    left_out: Mapping[str, LeftOut],
    repeated: Iterable[str | os.PathLike] = (),
    *,
    images: str = "move them into the folders of their classes",
) -> list[str]:
    """Returns a sentence for each kind of file that may be an image, and for links that lead back.

    Args:
        left_out: of `by_suffix`.
        repeated: links to folders that were read already.
        images: what to do with files that could be read.
    """
    formats = f"give images the suffix of their format, one of {', '.join(FORMATS)}, and keep other files elsewhere"
    sentences = [
        f"files {f'with the suffix {suffix}' if suffix else 'without a suffix'} are left out ({one.count}, "
        f"'{one.first}' for one); " + (images if suffix in SUFFIXES else formats)
        for suffix, one in left_out.items()
        if suffix not in _HARMLESS
    ]
    links = sorted(map(str, repeated))
    if links:
        sentences.append(
            f"link '{links[0]}' leads to a folder that is read already, or to one above it ({len(links)} such links); "
            "each folder is read once, remove the link"
        )
    return sentences


def _unreadable(error: OSError) -> None:
    raise UserError(
        f"folder '{error.filename}' cannot be read ({error.strerror}); mend this and start again"
    ) from error
