"""Random-access image sources: folders of classes, folders without labels, and TensorFlow Datasets read without
TensorFlow.

Every source has `len(source)` and `source[i] -> {"image": PIL image, "label": int, "id": str}`; `ImageList` has no
label. The image is decoded and has the mode of its file: when to convert it to RGB is the reader's choice. Its id stays
the same from run to run. A source raises `ImageError` for a damaged image; what to do about it is the loader's choice.
"""

import functools
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lrjax.data.images import decode
from lrjax.errors import UserError

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".ppm", ".tif", ".tiff"})


class ImageFolder:
    """A folder with one folder of images per class.

    Images are searched below the class folders at any depth, in sorted order; hidden files are ignored.

    Args:
        root: the folder.
        classes: class folders in the order of the labels, possibly nested ("a/abbey"); None takes the folders below
            root in sorted order.

    Raises:
        UserError: the root or a class folder is missing, unknown or holds no image.
    """

    def __init__(self, root: str | os.PathLike, classes: Sequence[str] | None = None):
        self.root = _existing(root)
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
        for label, name in enumerate(self.classes):
            paths = _images(self.root / name)
            if not paths:
                raise UserError(
                    f"class folder '{self.root / name}' holds no image; add images "
                    f"({', '.join(sorted(EXTENSIONS))}) or remove the class"
                )
            self.paths.extend(paths)
            self.labels.extend([label] * len(paths))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        return {"image": decode(path), "label": self.labels[index], "id": path.relative_to(self.root).as_posix()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the names, labels and sizes in bytes of all files."""
        return _fingerprint(self.root, self.paths, self.labels)


class ImageList:
    """All images below a folder, without labels.

    Args:
        root: the folder.

    Raises:
        UserError: the folder is missing or holds no image.
    """

    def __init__(self, root: str | os.PathLike):
        self.root = _existing(root)
        self.paths = _images(self.root)
        if not self.paths:
            raise UserError(f"image folder '{self.root}' holds no image; add images ({', '.join(sorted(EXTENSIONS))})")

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        path = self.paths[index]
        return {"image": decode(path), "id": path.relative_to(self.root).as_posix()}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of the names and sizes in bytes of all files."""
        return _fingerprint(self.root, self.paths, [0] * len(self.paths))


class TfdsSource:
    """A split of TensorFlow Datasets that was prepared as array_record, read and decoded without TensorFlow.

    Args:
        name: TFDS name with an optional config, such as "imagenet_v2/matched-frequency".
        split: TFDS split, such as "test".
        data_dir: where the data was prepared; None for the TFDS default.
        classes: for each label the names (class name, folder name) that TFDS may use for it; images of any other TFDS
            class are left out. None keeps the labels of TFDS.
        expected_count: number of images of the classes; a split of just this size is not searched for other classes,
            which reads every record.

    Raises:
        UserError: tensorflow-datasets is not installed, or the data was not prepared, not as array_record, or lacks one
            of the classes.
    """

    def __init__(
        self,
        name: str,
        split: str,
        data_dir: str | os.PathLike | None = None,
        *,
        classes: Sequence[Sequence[str]] | None = None,
        expected_count: int | None = None,
    ):
        self.name, self.split = name, split
        self.data, info = _tfds_data(name, split, data_dir)
        self.version, names = str(info.version), info.features["label"].names
        self.indices, self.label_of = range(len(self.data)), None
        if classes is not None:
            self.label_of = _tfds_labels(names, classes, name)
            if len(self.label_of) < len(names) and len(self.data) != expected_count:
                self.indices = [i for i in range(len(self.data)) if int(self.data[i]["label"]) in self.label_of]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.indices[index]
        example = self.data[row]
        label, name = int(example["label"]), f"{self.name}/{self.split}/{row}"
        if self.label_of is not None:
            if label not in self.label_of:
                raise UserError(f"image '{name}' is of none of the classes; prepare TFDS data set '{self.name}' again")
            label = self.label_of[label]
        return {"image": decode(example["image"], name=name), "label": label, "id": name}

    @property
    def fingerprint(self) -> str:
        """Name, version, split and number of the images, which TFDS keeps fixed."""
        return f"tfds:{self.name}:{self.version}:{self.split}:{len(self)}"


def normalised(name: str) -> str:
    """Return a class name in lower case with runs of other characters than letters and digits as one space."""
    return re.sub(r"[\W_]+", " ", name.lower()).strip()


def subfolders(root: Path) -> list[str]:
    """Return the names of the visible folders in a folder, sorted."""
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _existing(root: str | os.PathLike) -> Path:
    root = Path(root).expanduser()
    if not root.is_dir():
        raise UserError(
            f"image folder '{root}' {'is a file' if root.exists() else 'does not exist'}; give the path of a folder"
        )
    return root


def _images(folder: Path) -> list[Path]:
    found = []
    for parent, names, files in os.walk(folder, followlinks=True):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found.extend(
            Path(parent, file) for file in files if not file.startswith(".") and Path(file).suffix.lower() in EXTENSIONS
        )
    return sorted(found)


def _fingerprint(root: Path, paths: Sequence[Path], labels: Sequence[int]) -> str:
    digest = hashlib.sha256()
    for path, label in zip(paths, labels, strict=True):
        digest.update(f"{path.relative_to(root).as_posix()}\0{label}\0{path.stat().st_size}\n".encode())
    return digest.hexdigest()


def _tfds_data(name: str, split: str, data_dir: str | os.PathLike | None) -> tuple[Any, Any]:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"data set '{name}' needs tensorflow-datasets; install it with: pip install tensorflow-datasets "
            "array_record importlib_resources"
        ) from error
    remedy = f"prepare it with: tfds build {name} --file_format=array_record"
    if data_dir is not None:
        remedy += f" --data_dir={data_dir}"
    try:
        builder = tfds.builder(name, data_dir=data_dir)
        data = builder.as_data_source(split, decoders={"image": tfds.decode.SkipDecoding()})
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f"TFDS has no data set '{name}'; correct its name or give a folder of images") from error
    except Exception as error:  # TFDS raises a different type for each way of not being prepared
        cause = str(error).strip().splitlines()
        raise UserError(
            f"split '{split}' of data set '{name}' cannot be read "
            f"({cause[0] if cause else type(error).__name__}); {remedy}"
        ) from error
    return data, builder.info


def _tfds_labels(names: Sequence[str], classes: Sequence[Sequence[str]], dataset: str) -> dict[int, int]:
    positions = {normalised(name): number for number, name in enumerate(names)}
    labels = {}
    for label, aliases in enumerate(classes):
        number = next((positions[normalised(alias)] for alias in aliases if normalised(alias) in positions), None)
        if number is None:
            raise UserError(f"TFDS data set '{dataset}' has no class '{aliases[0]}'; use a folder of images instead")
        labels[number] = label
    return labels
