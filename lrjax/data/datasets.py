"""The registry of evaluation data sets, data sets of users, and the images of both.

The registry is the folder `assets/datasets`, one JSON file per data set, and the procedural ones that need no files.
`lrjax.data.rows` describes the format, in which users add their own, `lrjax.data.locations` where images may be.
NAME+CORRUPTION-SEVERITY, such as "imagenet+fog-3", is the data set NAME with every image corrupted as it is read.
"""

import dataclasses
import difflib
import functools
import logging
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lrjax.config import Data
from lrjax.data import prompts
from lrjax.data.corrupted import CorruptedSource, check_corruption
from lrjax.data.dataset import Dataset
from lrjax.data.from_files import dataset_of
from lrjax.data.locations import locate, open_located
from lrjax.data.relabel import relabel
from lrjax.data.rows import SUFFIXES, read_row
from lrjax.data.source import Source
from lrjax.data.sources.base import Part
from lrjax.data.sources.captioned import CaptionedImages, holds_captioned_images
from lrjax.data.sources.folder import ImageList
from lrjax.errors import UserError

_LOG = logging.getLogger(__name__)
_CAPTIONED = "captioned"  # the name of `data.procedural.captioned`, which is imported late
_CORRUPTED = re.compile(r"(.+)\+([a-z_]+)-(\d+)")


@functools.cache
def dataset_names() -> tuple[str, ...]:
    """Return the names of all data sets of the registry: the fifteen of LR0.FM, other real ones, procedural ones."""
    rows = [_registered(path.name.removesuffix(".json")) for path in _assets().iterdir()]
    return (
        *(row.name for row in sorted(rows, key=lambda row: (row.place or len(rows), row.name))),
        *_procedural(),
        _CAPTIONED,
    )


def get_dataset(name: str, root: str | os.PathLike | None = None) -> Dataset:
    """Return a data set.

    Args:
        name: one of `dataset_names()`; the path of a YAML or JSON file (see `lrjax.data.rows`); or LOCATION or
            KIND:LOCATION of images whose files name their classes (see `lrjax.data.from_files`). With
            "+CORRUPTION-SEVERITY" behind it the same with corrupted images.
        root: folder in which NAME.yaml may describe a data set that the registry has not.

    Raises:
        UserError: the name is unknown, and the message proposes similar ones; or the file is wrong.
    """
    if match := _CORRUPTED.fullmatch(name):
        base, corruption = get_dataset(match[1], root), (match[2], int(match[3]))
        check_corruption(*corruption)
        return dataclasses.replace(base, name=f"{base.name}+{match[2]}-{match[3]}", corruption=corruption)
    if name in dataset_names():
        return _registered(name)
    own = [Path(name)] if name.endswith(SUFFIXES) else [Path(f"{Path(root or '') / name}{one}") for one in SUFFIXES]
    path = next((one.expanduser() for one in own if one.expanduser().is_file()), None)
    if path is None or (root is None and not name.endswith(SUFFIXES)):
        if (dataset := dataset_of(name)) is not None:
            return _unregistered(dataset, name)
        close = difflib.get_close_matches(name.lower(), dataset_names(), n=3, cutoff=0.5)
        proposal = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(dataset_names())}"
        if name.endswith(SUFFIXES) or "/" in name:
            proposal = "there is no such file or folder"
        raise UserError(f"unknown data set '{name}'; {proposal}")
    dataset = read_row(path, get_dataset)
    if dataset.name in dataset_names():
        raise UserError(f"'{path}' has the name of data set '{dataset.name}' of the registry; give it another 'name'")
    return dataset


def _unregistered(dataset: Dataset, place: str) -> Dataset:
    """A data set of files; under a name of the registry its numbers would be taken for those of the benchmark."""
    if dataset.name in dataset_names():
        raise UserError(
            f"'{place}' has the name of data set '{dataset.name}' of the registry; name that, with "
            f"config.data.sources.{dataset.name}={place} for its classes and prompts, or rename the folder"
        )
    return dataset


def get_datasets(
    names: Sequence[str], root: str | os.PathLike | None = None, *, sources: Mapping[str, str] | None = None
) -> tuple[Dataset, ...]:
    """Return the data sets of a run.

    Args:
        names: as in `get_dataset`.
        root: as in `get_dataset`.
        sources: locations by name, which are checked for unknown names.

    Raises:
        UserError: a data set is unknown or wrong, or two have the same name.
    """
    found = tuple(get_dataset(name, root) for name in names)
    for dataset in found:
        if dataset.assumed:
            _LOG.info("data set '%s': %d classes; %s", dataset.name, len(dataset.classes), dataset.assumed)
    known = [dataset.name for dataset in found]
    if len(set(known)) < len(known):
        raise UserError(f"config.data.names names {max(known, key=known.count)!r} twice; remove or rename one")
    own = [uncorrupted(dataset).name for dataset in found]
    for name in sources or ():
        if name not in (*own, *dataset_names()):
            raise UserError(f"config.data.sources has an entry for the unknown data set '{name}'; correct its name")
    return found


def uncorrupted(dataset: Dataset) -> Dataset:
    """Return the data set whose images a corrupted one takes; another one as it is."""
    if dataset.corruption is None:
        return dataset
    return dataclasses.replace(dataset, name=dataset.name.rpartition("+")[0], corruption=None)


def prompts_hash(dataset: Dataset | str) -> str:
    """Return the content hash of the class names and templates of a data set."""
    dataset = get_dataset(dataset) if isinstance(dataset, str) else dataset
    return prompts.content_hash(dataset.classes, dataset.templates)


def open_source(
    dataset: Dataset | str,
    root: str | os.PathLike | None = None,
    *,
    sources: Mapping[str, str] | None = None,
    count: int | None = None,
    seed: int = 0,
    on_doubt: str = "error",
) -> Source:
    """Open the images of a data set; warns of what they lack.

    Args:
        dataset: a data set or its name.
        root: folder that holds NAME or NAME.tar, of any kind; "tfds" for TensorFlow Datasets.
        sources: for a data set by name, LOCATION or KIND:LOCATION (see `lrjax.data.locations`), instead of the root.
        count: number of images: of a procedural data set 10 per class by default, 100 with captions; of another
            one a random sample without repetition, all by default.
        seed: seed of a procedural data set, of the sample and of corruptions, 0 to 2**32 - 1.
        on_doubt: what labels that are not certain do: "error" refuses them, "warn" takes them as they seem to be.

    Returns:
        A source: `len(source)` and `source[i] -> {"image", "label", "id"}`; the label is a tuple where several are
        right.

    Raises:
        UserError: the data set is unknown, its files are missing or do not fit its classes, or its labels are doubtful.
    """
    dataset = get_dataset(dataset, root) if isinstance(dataset, str) else dataset
    if dataset.corruption is not None:
        images = open_source(uncorrupted(dataset), root, sources=sources, count=count, seed=seed, on_doubt=on_doubt)
        return _corrupted(dataset, images, seed)
    if count is not None and count < 1:
        raise UserError(
            f"count {count} of data set '{dataset.name}' is not positive; give the number of images or None"
        )
    if dataset.procedural and dataset.captioned:
        from lrjax.data.procedural import CaptionedSource

        return CaptionedSource(100 if count is None else count, seed=seed)
    if dataset.procedural:
        from lrjax.data.procedural import ProceduralSource

        return ProceduralSource(dataset.name, 10 * len(dataset.classes) if count is None else count, seed=seed)
    source, _ = find_source(dataset, root, sources=sources)
    if source.doubts and on_doubt != "warn":
        raise UserError(
            f"data set '{dataset.name}': {'; '.join(source.doubts)}, and mend the names, or set config.data.on_doubt "
            "to 'warn'"
        )
    _LOG.info("data set '%s': %d images, labels matched %s", dataset.name, len(source), source.matched)
    for sentence in (*source.doubts, *source.gaps):
        _LOG.warning("data set '%s': %s", dataset.name, sentence)
    if count is None and dataset.expected_count not in (None, len(source)):
        _LOG.warning(
            "data set '%s' has %d images instead of %d; python -m lrjax.data check tells more",
            dataset.name,
            len(source),
            dataset.expected_count,
        )
    if count is None:
        return source
    if count > len(source):
        raise UserError(
            f"data set '{dataset.name}' has {len(source)} images, fewer than the {count} asked for; ask for at most "
            f"{len(source)}"
        )
    return sampled(source, count, seed)


def sampled(source: Source, count: int, seed: int) -> Source:
    """Returns a random sample of a source, without repetition and in order; the source where it has no more images.

    Args:
        source: the images.
        count: images of the sample.
        seed: 0 to 2**32 - 1.
    """
    if count >= len(source):
        return source
    return Part(source, np.sort(np.random.default_rng(seed).permutation(len(source))[:count]))


def open_sources(datasets: Sequence[Dataset], data: Data) -> dict[str, Source]:
    """Open the images of the data sets of a run, by name; those that corrupted ones share are opened once.

    Args:
        datasets: the data sets.
        data: where they are; its count is that of procedural ones.

    Raises:
        UserError: as `open_source`.
    """
    opened: list[tuple[Dataset, Source]] = []
    found = {}
    for dataset in datasets:
        base = uncorrupted(dataset)
        images = next((images for one, images in opened if one == base), None)
        if images is None:
            images = open_source(
                base,
                data.root or None,
                sources=data.sources,
                count=data.count if base.procedural else None,
                seed=data.seed,
                on_doubt=data.on_doubt,
            )
            opened.append((base, images))
        found[dataset.name] = _corrupted(dataset, images, data.seed)
    return found


def _corrupted(dataset: Dataset, images: Source, seed: int) -> Source:
    if dataset.corruption is None:
        return images
    name, severity = dataset.corruption
    return CorruptedSource(images, name, severity=severity, seed=seed)


def find_source(
    dataset: Dataset, root: str | os.PathLike | None = None, *, sources: Mapping[str, str] | None = None
) -> tuple[Part, str]:
    """Find and open the images of a data set that is not procedural.

    Args:
        dataset: the data set.
        root: as in `open_source`.
        sources: as in `open_source`.

    Returns:
        The source, with `matched` and `doubts` of its labels, and `gaps`; and KIND:LOCATION.

    Raises:
        UserError: its files are missing or do not fit its classes.
    """
    sources = sources or {}
    if dataset.images is None:
        kind, path = locate(dataset, root, sources.get(dataset.name, ""))
        return open_located(dataset, kind, path), f"{kind}:{path or ''}"
    entry = sources.get(dataset.name) or dataset.location or ("tfds:" if str(root) == "tfds" else "")
    if entry.startswith(("tfds:", "array_record:")):
        kind, path = locate(dataset, None, entry)
        return open_located(dataset, kind, path), f"{kind}:{path or ''}"
    path = _labels_file(dataset, root, entry)
    images, place = find_source(get_dataset(dataset.images), root, sources=sources)
    if images.ids is None:
        raise UserError(
            f"the images of '{dataset.name}' are at {place}, where they have no file names; set "
            f"config.data.sources.{dataset.name} to 'tfds:', or config.data.sources.{dataset.images} to files"
        )
    return relabel(images, path, mode=dataset.labels, classes=len(dataset.classes)), f"{place} with {path}"


def open_training_source(root: str | os.PathLike, *, count: int, seed: int, images_per_caption: int = 0) -> Source:
    """Open the images of a training.

    Args:
        root: folder of images, searched at any depth, or of images that were generated from numbered captions
            (`lrjax.data.sources.captioned`); "procedural" renders them.
        count: number of rendered images; a folder is taken whole.
        seed: seed of the rendered images, 0 to 2**32 - 1.
        images_per_caption: number of images of every caption, the first ones of a folder; 0 takes all of a folder, and
            renders every image from a caption of its own.

    Returns:
        A source: `len(source)` and `source[i] -> {"image", "id"}`, with the number of the caption as "label", in
        ascending order, where the images have numbered captions.

    Raises:
        UserError: the folder is missing or holds no image, or too few of a caption.
    """
    if str(root) == "procedural":
        from lrjax.data.procedural import CaptionSource

        return CaptionSource(count, seed=seed, images_per_caption=images_per_caption)
    captioned = holds_captioned_images(root)
    source = CaptionedImages(root, images_per_caption=images_per_caption) if captioned else ImageList(root)
    for gap in source.gaps:
        _LOG.warning("training images of '%s': %s", root, gap)
    if images_per_caption and not captioned:
        raise UserError(
            f"config.train.images_per_caption={images_per_caption} needs numbered captions, but '{root}' has no folder "
            "Mul_samples_<images per caption>_<captions>; set it to 0, or correct config.train.root"
        )
    return source


def _assets() -> Any:
    return resources.files("lrjax.data").joinpath("assets/datasets")


@functools.cache
def _registered(name: str) -> Dataset:
    if name == _CAPTIONED:
        return Dataset(
            name=name,
            group=("captions",),
            classes=(),
            templates=(),
            expected_count=None,
            tfds=None,
            paper_classes=0,
            procedural=True,
            title="drawn by the program, with five captions each",
            captioned=True,
        )
    if name in _procedural():
        drawn = _procedural()[name]
        return Dataset(
            name=name,
            group=(drawn.group,),
            classes=tuple(drawn.classes),
            templates=tuple(drawn.templates),
            expected_count=None,
            tfds=None,
            paper_classes=len(drawn.classes),
            procedural=True,
            title="drawn by the program",
        )
    return read_row(_assets().joinpath(f"{name}.json"), _registered)


@functools.cache
def _procedural() -> dict[str, Any]:
    # Imported late: the drawing code is not needed to evaluate real data sets.
    from lrjax.data.procedural import DATASETS

    return dict(DATASETS)


def _labels_file(dataset: Dataset, root: str | os.PathLike | None, entry: str) -> Path:
    if entry:
        path = Path(entry).expanduser()
        if path.is_file():
            return path
        problem = f"'{path}' does not exist"
    else:
        folder = Path(root or ".").expanduser()
        names = (f"{dataset.name}.json", f"{dataset.name}/real.json", "real.json")
        if found := [folder / name for name in names if root is not None and (folder / name).is_file()]:
            return found[0]
        problem = f"'{folder}' has no {names[0]} or {names[-1]}"
    raise UserError(
        f"data set '{dataset.name}' needs a file of labels, and {problem}; set config.data.sources.{dataset.name} to "
        f"its path; to get it: {dataset.get or 'write one, {image id: labels}'}"
    )
