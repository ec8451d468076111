"""The registry of evaluation data sets: the fifteen of LR0.FM and the procedural ones that need no files."""

import difflib
import functools
import hashlib
import json
import logging
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lrjax.data import prompts
from lrjax.data.sources import ImageFolder, ImageList, TfdsSource, normalised, subfolders
from lrjax.errors import UserError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """One evaluation data set.

    Args:
        name: key of the registry and name of the folder below the data root.
        group: what the pictures are about: generic, texture, edges, fine-grained, scene; one or more.
        classes: class names in the order of the labels.
        templates: prompt templates with one "{}" each.
        expected_count: number of test images; None where the user chooses it.
        metric: how the data set is scored: "top1".
        tfds: TFDS name and split; None where TFDS has no such test split.
        paper_classes: number of classes that the published robustness scores use for chance accuracy; equals
            len(classes) but for misprints kept for comparison.
        folders: names of the class folders in the original release, in the order of classes; None where they are the
            class names.
        procedural: drawn by the program instead of read from files.
    """

    name: str
    group: tuple[str, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    expected_count: int | None
    metric: str
    tfds: tuple[str, str] | None
    paper_classes: int
    folders: tuple[str, ...] | None = None
    procedural: bool = False


@dataclass(frozen=True)
class _Row:
    group: tuple[str, ...]
    count: int
    paper_classes: int
    tfds: tuple[str, str] | None = None
    prompts: str | None = None


_GENERIC, _FINE = ("generic",), ("fine-grained",)

# Groups and counts: Pathak et al. 2025, arXiv 2502.03950, appendix A and table 7. The counts of caltech101, eurosat and
# ucf101 are the ones for which the published accuracies are possible, and the paper's 102 classes of caltech101,
# food101 and aircraft are the ones that its scores use.
_LR0FM = {
    "imagenet": _Row(_GENERIC, 50_000, 1000, ("imagenet2012", "validation")),
    "imagenet_a": _Row(_GENERIC, 7_500, 200, ("imagenet_a", "test")),
    "imagenet_v2": _Row(_GENERIC, 10_000, 1000, ("imagenet_v2/matched-frequency", "test"), prompts="imagenet"),
    "imagenet_r": _Row(("texture",), 30_000, 200, ("imagenet_r", "test")),
    "imagenet_sketch": _Row(("edges",), 50_889, 1000, ("imagenet_sketch", "test"), prompts="imagenet"),
    "caltech101": _Row(_GENERIC, 5_647, 102, ("caltech101", "test")),
    "dtd": _Row(("edges", "texture"), 1_880, 47, ("dtd", "test")),
    "food101": _Row(_FINE, 25_250, 102, ("food101", "validation")),
    "sun397": _Row(("scene",), 19_850, 397, ("sun397/standard-part1-120k", "test")),
    "cars": _Row(_FINE, 8_041, 196, ("cars196", "test")),
    "aircraft": _Row(_FINE, 3_333, 102),
    "pets": _Row(_FINE, 3_669, 37, ("oxford_iiit_pet", "test")),
    "flowers102": _Row(_FINE, 6_149, 102, ("oxford_flowers102", "test")),
    # TFDS has no test split of EuroSAT, and UCF101 only as videos.
    "eurosat": _Row(("texture",), 5_400, 10),
    "ucf101": _Row(("scene",), 3_783, 101),
}


def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets, the fifteen of LR0.FM first."""
    return (*_LR0FM, *_procedural())


@functools.cache
def get_dataset(name: str) -> Dataset:
    """Return a data set of the registry.

    Args:
        name: one of `dataset_names()`.

    Raises:
        UserError: the name is unknown; the message proposes similar ones.
    """
    if name in _LR0FM:
        row = _LR0FM[name]
        text = (
            resources.files("lrjax.data")
            .joinpath(f"assets/datasets/{row.prompts or name}.json")
            .read_text(encoding="utf-8")
        )
        asset = json.loads(text)
        return Dataset(
            name=name,
            group=row.group,
            classes=tuple(asset["classes"]),
            templates=tuple(asset["templates"]),
            expected_count=row.count,
            metric="top1",
            tfds=row.tfds,
            paper_classes=row.paper_classes,
            folders=tuple(asset["folders"]) if "folders" in asset else None,
        )
    if name in _procedural():
        drawn = _procedural()[name]
        return Dataset(
            name=name,
            group=(drawn.group,),
            classes=tuple(drawn.classes),
            templates=tuple(drawn.templates),
            expected_count=None,
            metric="top1",
            tfds=None,
            paper_classes=len(drawn.classes),
            procedural=True,
        )
    close = difflib.get_close_matches(name.lower(), dataset_names(), n=3, cutoff=0.5)
    proposal = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(dataset_names())}"
    raise UserError(f"unknown data set '{name}'; {proposal}")


def prompts_hash(dataset: Dataset | str) -> str:
    """Return the content hash of the class names and templates of a data set."""
    dataset = get_dataset(dataset) if isinstance(dataset, str) else dataset
    return prompts.content_hash(dataset.classes, dataset.templates)


def open_source(
    dataset: Dataset | str,
    root: str | os.PathLike | None = None,
    *,
    count: int | None = None,
    seed: int = 0,
    data_dir: str | os.PathLike | None = None,
) -> Any:
    """Open the images of a data set.

    Class folders are recognised, in this order: by the class names or the folder names of the original release; by the
    same ignoring case and punctuation; and if none of them is known, as many folders as classes are taken in sorted
    order (names of digits by value) with a warning. The last rule is right for WordNet ids, and for numbers that count
    the classes in the order of the registry.

    Args:
        dataset: a data set or its name.
        root: folder that holds the folder NAME with one folder of images per class; "tfds" for TensorFlow Datasets;
            ignored for procedural data sets.
        count: number of images: of a procedural data set 10 per class by default; of another one a random sample
            without repetition, all by default.
        seed: seed of a procedural data set or of the sample, 0 to 2**32 - 1.
        data_dir: where TFDS prepared its data; None for its default.

    Returns:
        A source: `len(source)` and `source[i] -> {"image", "label", "id"}`.

    Raises:
        UserError: the data set is unknown, or its files are missing or do not fit its classes.
    """
    dataset = get_dataset(dataset) if isinstance(dataset, str) else dataset
    if count is not None and count < 1:
        raise UserError(
            f"count {count} of data set '{dataset.name}' is not positive; give the number of images or None"
        )
    if dataset.procedural:
        from lrjax.data.procedural import ProceduralSource

        return ProceduralSource(dataset.name, 10 * len(dataset.classes) if count is None else count, seed=seed)
    if root is None:
        raise UserError(
            f"data set '{dataset.name}' needs files; give the folder that holds '{dataset.name}', or 'tfds'"
        )
    source = (
        _tfds(dataset, data_dir) if str(root) == "tfds" else _folder(dataset, Path(root).expanduser() / dataset.name)
    )
    if count is None and dataset.expected_count != len(source):
        _LOG.warning(
            "data set '%s' has %d images where the published results have %d",
            dataset.name,
            len(source),
            dataset.expected_count,
        )
    return source if count is None else _Sample(source, count, seed, dataset.name)


def open_training_source(root: str | os.PathLike, *, count: int, seed: int) -> Any:
    """Open the unlabelled images of a training.

    Args:
        root: folder of images, searched at any depth; "procedural" renders them.
        count: number of rendered images; a folder is taken whole.
        seed: seed of the rendered images, 0 to 2**32 - 1.

    Returns:
        A source: `len(source)` and `source[i] -> {"image", "id"}`.

    Raises:
        UserError: the folder is missing or holds no image.
    """
    if str(root) == "procedural":
        from lrjax.data.procedural import CaptionSource

        return CaptionSource(count, seed=seed)
    return ImageList(root)


class _Sample:
    def __init__(self, source: Any, count: int, seed: int, name: str):
        if count > len(source):
            raise UserError(
                f"data set '{name}' has {len(source)} images, fewer than the {count} asked for; ask for at "
                f"most {len(source)}"
            )
        self.source, self.indices = source, np.sort(np.random.default_rng(seed).permutation(len(source))[:count])

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.indices[index])]

    @property
    def fingerprint(self) -> str:
        """That of the whole, and the positions."""
        return f"{self.source.fingerprint}:{hashlib.sha256(self.indices.tobytes()).hexdigest()}"


@functools.cache
def _procedural() -> dict[str, Any]:
    # Imported late: the drawing code is not needed to evaluate real data sets.
    from lrjax.data.procedural import DATASETS

    return dict(DATASETS)


def _tfds(dataset: Dataset, data_dir: str | os.PathLike | None) -> TfdsSource:
    if dataset.tfds is None:
        raise UserError(f"TFDS has no test split of '{dataset.name}'; give a folder of images instead of 'tfds'")
    aliases = list(zip(*_name_lists(dataset), strict=True))
    return TfdsSource(*dataset.tfds, data_dir, classes=aliases, expected_count=dataset.expected_count)


def _name_lists(dataset: Dataset) -> list[tuple[str, ...]]:
    # ImageNet has two classes "missile" and two "sunglasses": its class names cannot name folders.
    lists = [names for names in (dataset.folders, dataset.classes) if names is not None]
    return [names for names in lists if len(set(names)) == len(names)]


def _folder(dataset: Dataset, root: Path) -> ImageFolder:
    if not root.is_dir():
        raise UserError(
            f"data set '{dataset.name}' has no folder '{root}'; put its class folders there, "
            "or set config.data.root to 'tfds'"
        )
    names = _name_lists(dataset)
    for candidate in names:
        if all((root / name).is_dir() for name in candidate):
            return ImageFolder(root, candidate)
    found = subfolders(root)
    by_name = {normalised(folder): folder for folder in found}
    for candidate in names:
        if all(normalised(name) in by_name for name in candidate):
            return ImageFolder(root, [by_name[normalised(name)] for name in candidate])
    known = {normalised(name) for candidate in names for name in candidate}
    unknown = [folder for folder in found if normalised(folder) not in known]
    if len(unknown) == len(found) == len(dataset.classes):
        _LOG.warning(
            "class folders of '%s' carry none of its class names and are taken in sorted order: check a few labels",
            dataset.name,
        )
        return ImageFolder(
            root, sorted(found, key=lambda folder: (int(folder), folder) if folder.isdigit() else (-1, folder))
        )
    if not found:
        return ImageFolder(root)
    closest = min(names, key=lambda candidate: sum(normalised(name) not in by_name for name in candidate))
    culprit = (
        f"'{root / unknown[0]}' is none of its classes"
        if unknown
        else f"class folder '{_missing(closest, by_name)}' is missing"
    )
    raise UserError(
        f"data set '{dataset.name}' has {len(dataset.classes)} classes and '{root}' {len(found)} folders: {culprit}; "
        "name the folders after the classes, or after the original release"
    )


def _missing(names: tuple[str, ...], by_name: dict[str, str]) -> str:
    return next(name for name in names if normalised(name) not in by_name)
