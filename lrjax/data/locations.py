"""Where the images of a data set are: LOCATION or KIND:LOCATION.

    folder:PATH        one folder of images per class
    split:PATH         split file of CoOp, split_zhou_*.json, or the folder with it
    metadata:PATH      folder with metadata.jsonl or metadata.csv, as Hugging Face's imagefolder; labels, or captions
    webdataset:PATH    tar archive or folder of them: WebDataset shards, or class folders in an archive
    parquet:PATH       Parquet file or folder of them, as on the Hugging Face hub
    array_record:PATH  folder that TensorFlow Datasets prepared with --file_format=array_record
    tfds:PATH          data set by its TFDS name in the data_dir PATH; "tfds:" for the default data_dir
    idx:PATH           folder with the IDX files of MNIST
    karpathy:PATH      captions: dataset_coco.json, dataset_flickr30k.json, or the folder with it

Without KIND it is recognised by what is there.
"""

import functools
import json
import os
import re
from importlib import resources
from pathlib import Path
from typing import Any

from lrjax.data.dataset import Dataset
from lrjax.data.sources.base import ListedImages, Part
from lrjax.data.sources.folder import ImageFolder, subfolders
from lrjax.data.sources.idx import IdxImages
from lrjax.data.sources.karpathy import open_karpathy
from lrjax.data.sources.matching import ClassNames
from lrjax.data.sources.parquet import ParquetImages
from lrjax.data.sources.split import METADATA, only_file, open_metadata, open_split
from lrjax.data.sources.tfds import TfdsSource, prepared_folder
from lrjax.data.sources.webdataset import TarImages, archives, is_archive
from lrjax.errors import UserError

KINDS = ("folder", "split", "metadata", "webdataset", "parquet", "array_record", "tfds", "idx", "karpathy")
_KIND_OF_FILE = {".parquet": "parquet", ".json": "split"}


def split_location(text: str) -> tuple[str | None, str]:
    """Returns the kind (None where it is not given) and the location of LOCATION or KIND:LOCATION.

    Raises:
        UserError: the kind is unknown.
    """
    match = re.fullmatch(r"(\w+):(.*)", text)
    if match is None:
        return None, text
    if match[1] not in KINDS:
        raise UserError(f"'{text}' is of the unknown kind '{match[1]}'; use one of {', '.join(KINDS)}")
    return match[1], match[2]


def locate(dataset: Dataset, root: str | os.PathLike | None, entry: str) -> tuple[str, Path | None]:
    """Finds the images of a data set.

    Args:
        dataset: the data set.
        root: folder that holds NAME, a folder, or NAME.tar or NAME.parquet; "tfds" for TensorFlow Datasets.
        entry: LOCATION or KIND:LOCATION, "" for that of the data set or below the root.

    Returns:
        The kind and the path; None as the path of "tfds" for its default.

    Raises:
        UserError: nothing is there, or it is of several kinds.
    """
    key = f"config.data.sources.{dataset.name}"
    if entry := entry or dataset.location:
        kind, text = split_location(entry)
        path = Path(text).expanduser()
        if kind == "tfds":
            return kind, path if text else None
        if not path.exists():
            raise UserError(f"'{path}' of data set '{dataset.name}' does not exist; correct {key}{_remedy(dataset)}")
        return kind or _kind(path, dataset), path
    if root is None:
        raise UserError(
            f"data set '{dataset.name}' needs files; give the folder that holds '{dataset.name}', or 'tfds', as "
            f"config.data.root, or {key}{_remedy(dataset)}"
        )
    if str(root) == "tfds":
        return "tfds", None
    folder = Path(root).expanduser() / dataset.name
    found = [path for path in (folder, *(Path(f"{folder}{one}") for one in (".tar", ".parquet"))) if path.exists()]
    found = found or [path for path in folder.parent.glob(f"{folder.name}.t*") if is_archive(path)][:1]
    if not found:
        raise UserError(
            f"data set '{dataset.name}' has no folder '{folder}' and no '{folder.name}.tar' beside it; put it there, "
            f"set {key}, or set config.data.root to 'tfds'{_remedy(dataset)}"
        )
    if len(found) > 1:
        raise UserError(f"data set '{dataset.name}' is both '{found[0]}' and '{found[1]}'; set {key}, or remove one")
    return _kind(found[0], dataset), found[0]


def _kind(path: Path, dataset: Dataset) -> str:
    if dataset.captioned:
        tables = (folder / table for folder in (path, path / _split(dataset)) for table in METADATA)
        return "metadata" if any(table.is_file() for table in tables) else "karpathy"
    return detect(path, key=f"config.data.sources.{dataset.name}", split=_split(dataset))


def detect(path: Path, *, key: str, split: str) -> str:
    """Returns the kind of what is at a path.

    Args:
        path: an existing file or folder.
        key: of the configuration, which may say the kind.
        split: the split to read.

    Raises:
        UserError: it is of no kind, or of several.
    """
    if path.is_file():
        if is_archive(path):
            return "webdataset"
        if path.suffix not in _KIND_OF_FILE:
            raise UserError(f"'{path}' is of no known kind; set {key} to KIND:PATH, with one of {', '.join(KINDS)}")
        return _KIND_OF_FILE[path.suffix]
    part = path / split
    markers = {
        "split": any(path.glob("split_*.json")),
        "metadata": any((folder / table).is_file() for folder in (path, part) for table in METADATA),
        "webdataset": any(any(folder.glob("*.tar")) for folder in (path, part, path / "test"))
        or (bool(archives(path)) and not subfolders(path)),
        "parquet": any(any(folder.glob("*.parquet")) for folder in (path, part, path / "data"))
        or any(path.glob(f"*/{part.name}/*.parquet")),
        "array_record": prepared_folder(path) is not None,
        "idx": any(path.glob("*-images-idx3-ubyte*")),
    }
    kinds = [kind for kind, there in markers.items() if there]
    if len(kinds) > 1:
        raise UserError(f"'{path}' is of the kinds {' and '.join(kinds)}; set {key} to one of them, {kinds[0]}:{path}")
    return kinds[0] if kinds else "folder"


def open_located(dataset: Dataset, kind: str, path: Path | None) -> Any:
    """Opens images at a location, with the labels of the data set.

    Args:
        dataset: the data set.
        kind: one of `KINDS`.
        path: where they are; None for the default of TFDS.

    Returns:
        A source with `matched`, how its labels were matched with the classes, and `doubts` of that.

    Raises:
        UserError: the files are missing or damaged, or do not fit the classes.
    """
    if (dataset.captioned and kind not in ("karpathy", "metadata")) or (kind == "karpathy" and not dataset.captioned):
        places = "captions, which are read from karpathy:PATH or metadata:PATH"
        wanted = places if dataset.captioned else "classes, not captions"
        raise UserError(f"data set '{dataset.name}' has {wanted}; correct config.data.sources.{dataset.name}")
    if dataset.captioned:
        assert path is not None
        karpathy = kind == "karpathy"
        source = (
            open_karpathy(path, dataset.split) if karpathy else open_metadata(path, _split(dataset), captioned=True)
        )
        return Part(source, range(len(source)), matched="by caption")
    classes = class_names(dataset)
    if kind == "tfds" and dataset.tfds is None:
        raise UserError(
            f"TFDS has no test split of '{dataset.name}'; give a folder of images instead of 'tfds'{_remedy(dataset)}"
        )
    if kind in ("tfds", "array_record"):
        name, tfds_split = dataset.tfds or ("", dataset.split)
        source = TfdsSource(
            name if kind == "tfds" else Path(path or "."),
            tfds_split,
            path if kind == "tfds" else None,
            find=classes.find,
            features={"": ("label",), "replace": ("real_label",), "add": ("original_label", "real_label")}[
                dataset.labels
            ],
            classes=classes.display,
            expected_count=dataset.expected_count,
        )
        return Part(source, range(len(source)))
    assert path is not None
    if kind == "folder":
        match = classes.folders(_folder(path, dataset))
        if match is None:
            raise UserError(
                f"image folder '{path}' of data set '{dataset.name}' has no class folders; put the images of each "
                "class into a folder of their own"
            )
        source = ImageFolder(path, list(match.label_of))
        return Part(source, range(len(source)), matched=match.by, doubts=match.doubts)
    split = _split(dataset) if kind != "split" else "test" if dataset.place else dataset.split
    return classes.fit(open_listed(kind, path, split))


def open_listed(kind: str, path: Path, split: str) -> ListedImages:
    """Opens images with the labels of their files.

    Args:
        kind: one of `KINDS` but "folder", "tfds" and "array_record".
        path: where they are.
        split: the split to read.

    Raises:
        UserError: the files are missing or damaged.
    """
    if kind == "split":
        return open_split(only_file(path, "split_*.json"), split)
    if kind == "metadata":
        return open_metadata(path, split)
    listed = {"webdataset": TarImages, "parquet": ParquetImages, "idx": IdxImages}[kind]
    return listed(path, split=split)


def class_names(dataset: Dataset) -> ClassNames:
    """Returns the names by which the classes of a data set are found in files."""
    lists = [names for names in (dataset.folders, dataset.classes) if names is not None]
    return ClassNames(dataset.name, lists, indices=dataset.indices, wordnet=wordnet())


@functools.cache
def wordnet() -> dict[str, str]:
    """Returns ImageNet's names of its WordNet ids."""
    row = json.loads(resources.files("lrjax.data").joinpath("assets/datasets/imagenet.json").read_text("utf-8"))
    return dict(zip(row["folders"], row["classes"], strict=True))


def _split(dataset: Dataset) -> str:
    return dataset.hub[1] if dataset.hub else dataset.split


def _folder(path: Path, dataset: Dataset) -> Path:
    if not path.is_dir():
        raise UserError(f"'{path}' of data set '{dataset.name}' is a file; give the folder with its class folders")
    return path


def _remedy(dataset: Dataset) -> str:
    return f"; to get it: {dataset.get}" if dataset.get else ""
