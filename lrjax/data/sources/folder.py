"""Folders of images: with one folder per class, and without labels."""

import functools
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrjax.data.images import FORMATS, decode
from lrjax.data.source import Source
from lrjax.data.sources.base import content_fingerprint
from lrjax.data.sources.tree import by_suffix, gaps, is_image, walk, walk_classes
from lrjax.errors import UserError


class ImageFolder(Source):
    """A folder with one folder of images per class.

    Images are searched below the class folders at any depth, in sorted order; hidden files are ignored. `left_out`
    tells of other files (`lrjax.data.sources.tree`), `gaps` of those that may be images.

    Args:
        root: the folder.
        classes: class folders in the order of the labels, possibly nested ("a/abbey"); None takes the folders below
            root in sorted order.

    Raises:
        UserError: the root or a class folder is missing, unknown or holds no image.
    """

    ids: list[str]
    labels: list[int]

    def __init__(self, root: str | os.PathLike, classes: Sequence[str] | None = None):
        self.root = existing_folder(root)
        found = subfolders(self.root)
        if not found:
            raise UserError(
                f"image folder '{self.root}' has no class folders; put the images of each class into a "
                "folder of their own"
            )
        self.classes = tuple(found if classes is None else classes)
        missing = [name for name in self.classes if not (self.root / name).is_dir()]
        if missing:
            raise UserError(
                f"image folder '{self.root}' has no class folder '{missing[0]}' ({len(missing)} missing); "
                "add it or correct the list of classes"
            )
        unknown = sorted(set(found) - {Path(name).parts[0] for name in self.classes})
        if unknown:
            raise UserError(
                f"class folder '{self.root / unknown[0]}' is none of the {len(self.classes)} classes; "
                "rename or remove it"
            )
        self.paths, self.labels = [], []
        trees = walk_classes([self.root / name for name in self.classes])
        for label, (name, tree) in enumerate(zip(self.classes, trees, strict=True)):
            if not tree.images:
                raise UserError(
                    f"class folder '{self.root / name}' holds no image; add images ({', '.join(FORMATS)}), or "
                    "remove the class"
                )
            self.paths.extend(tree.images)
            self.labels.extend([label] * len(tree.images))
        self.ids = [_below(self.root, path) for path in self.paths]
        others = [_below(self.root, path) for tree in trees for path in tree.others]
        visible = (path for path in sorted(self.root.iterdir()) if not path.name.startswith("."))
        loose = [path.name for path in visible if is_image(path.name) and path.is_file()]
        self.left_out = by_suffix([*loose, *others])
        self.gaps = gaps(self.left_out, itertools.chain.from_iterable(tree.repeated for tree in trees))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": decode(self.paths[index]), "label": self.labels[index], "id": self.ids[index]}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the names, labels and contents of all files."""
        return content_fingerprint(zip(self.ids, self.labels, strict=True), self.paths)


class ImageList(Source):
    """All images below a folder, without labels; `left_out` and `gaps` are as those of `ImageFolder`.

    Args:
        root: the folder.

    Raises:
        UserError: the folder is missing or holds no image.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = existing_folder(root)
        tree = walk(self.root)
        self.paths = tree.images
        if not self.paths:
            raise UserError(f"image folder '{self.root}' holds no image; add images ({', '.join(FORMATS)})")
        self.left_out = by_suffix(_below(self.root, path) for path in tree.others)
        self.gaps = gaps(self.left_out, tree.repeated)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        return {"image": decode(path), "id": _below(self.root, path)}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the names and contents of all files."""
        return content_fingerprint(((_below(self.root, path),) for path in self.paths), self.paths)


def existing_folder(root: str | os.PathLike) -> Path:
    """Return the path of a folder, with "~" expanded.

    Raises:
        UserError: there is no such folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise UserError(
            f"image folder '{root}' {'is a file' if root.exists() else 'does not exist'}; give the path of a folder"
        )
    return root


def subfolders(root: Path) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _below(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()
