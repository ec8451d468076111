"""Rows of the registry of data sets: JSON files of the package, and YAML or JSON files of users in the same format.

A user's data set is a file such as birds.yaml:

    classes: [robin, wren]             # in the order of the labels; or the name of a text file with one class per line
    templates: ["a photo of a {}."]    # texts with one "{}" for the class name
    path: images                       # LOCATION or KIND:LOCATION of the images, beside or below the file

and `config.data.names` names it by its path, ("imagenet", "mine/birds.yaml"). All keys:

    name            key of the data set in results; by default the name of the file
    title           one line that describes it
    group           list of what the pictures are about, such as [fine-grained]
    classes         list of class names, or a text file
    templates       list of templates
    prompts         another data set whose classes, templates and folders are taken where the row has none itself, or
                    {of: imagenet, indices: [6, 11]} for some of its classes
    folders         names of the class folders, in the order of the classes, where they are not the class names
    count           number of images
    path            where the images are, unless `config.data.sources` says it, which may be anywhere; see
                    `lrjax.data.locations`
    captions        true where images have captions (at karpathy:PATH or metadata:PATH) instead of classes and templates
    split           split to read, "test" by default
    sources         {tfds: {name, split}, hub: {name, split}}: where TensorFlow Datasets and the Hugging Face hub
                    have it
    images, labels  the data set whose images these are, with other labels from a JSON file at `path`: a list of lists
                    of labels by the number of ILSVRC2012_val_NUMBER, or {image id: labels}; `labels: replace` leaves
                    images without a label out, `labels: add` adds them to the labels that the images have
    metric          "top1"; an image with several labels is right with any of them
    paper_classes   number of classes for chance accuracy, if not that of the classes
    lr0fm           position among the data sets of LR0.FM, from 1
    licence, get    what a user may do with it, and how to get it
"""

import collections
import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from lrjax.checks.files import check_inside, read_text
from lrjax.checks.parse import parse_json, parse_yaml
from lrjax.checks.text import brief
from lrjax.data.dataset import Dataset
from lrjax.data.locations import split_location
from lrjax.data.sources.names import exact
from lrjax.errors import UserError

SUFFIXES = (".yaml", ".yml", ".json")


_TEXTS = ("name", "title", "split", "path", "images", "labels", "metric", "licence", "get")
_NUMBERS = ("count", "paper_classes", "lr0fm")
_LISTS = ("group", "templates", "folders")
_KEYS = (*_TEXTS, *_NUMBERS, *_LISTS, "classes", "prompts", "sources", "captions")
_OF_CLASSES = (
    "classes",
    "templates",
    "prompts",
    "folders",
    "sources",
    "images",
    "labels",
    "metric",
    "paper_classes",
    "lr0fm",
)


def read_row(path: Path | Traversable, find: Callable[[str], Dataset]) -> Dataset:
    """Reads a row.

    Args:
        path: of a YAML or JSON file.
        find: gives the data set that a row refers to.

    Raises:
        UserError: the file is unreadable, has an unknown key or a value of a wrong kind, or lacks classes or templates.
    """
    row = _content(path)
    for key, value in row.items():
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_KEYS)}"
            raise UserError(f"'{path}' has an unknown key '{key}'; {hint}")
        if key in _TEXTS and not isinstance(value, str):
            raise UserError(f"{key} of '{path}' is {brief(value)}; give a text, in quotes")
        if key in _NUMBERS and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
            raise UserError(f"{key} of '{path}' is {brief(value)}; give a whole number above 0")
        if key in _LISTS:
            row[key] = _texts(path, key, value)
    name = row.get("name", path.name.rpartition(".")[0])
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"data set '{path}' is called {brief(name)}; name it with letters, digits, '_' and '-'")
    if "captions" in row:
        return _captioned(path, name, row)
    shared, indices = _prompts(path, row.get("prompts"), find)
    classes = _given(path, "classes", _classes(path, row["classes"]) if "classes" in row else shared.get("classes"))
    templates = _given(path, "templates", row.get("templates", shared.get("templates")))
    folders = row.get("folders")
    if folders is None and "classes" not in row:
        folders = shared.get("folders")
    for template in templates:
        if template.count("{}") != 1:
            raise UserError(f"template {template!r} of '{path}' must hold '{{}}' once, where the class name goes")
    if len(classes) == 1:
        raise UserError(f"'{path}' has one class, '{classes[0]}'; a classifier needs two or more")
    if folders is None and (twice := _repeated(classes)):
        raise UserError(f"'{path}' names class '{twice}' twice; rename one, or tell them apart by 'folders'")
    different = set(map(exact, folders or ()))
    if folders is not None and not len(different) == len(folders) == len(classes):
        raise UserError(f"'{path}' has {len(different)} different folders for {len(classes)} classes; give as many")
    if row.get("metric", "top1") != "top1":
        raise UserError(f"metric of '{path}' is {brief(row['metric'])}; the only one is 'top1'")
    if ("images" in row) != (row.get("labels") in ("replace", "add")):
        raise UserError(f"'{path}' needs both 'images', a data set, and 'labels', 'replace' or 'add', or neither")
    if "images" in row and find(row["images"]).classes != classes:
        raise UserError(f"'{path}' has other classes than '{row['images']}', whose images it takes; give the same")
    sources = _sources(path, row.get("sources", {}))
    return Dataset(
        name=name,
        group=row.get("group", ()),
        classes=classes,
        templates=templates,
        expected_count=row.get("count"),
        tfds=sources.get("tfds"),
        paper_classes=row.get("paper_classes", len(classes)),
        folders=folders,
        title=row.get("title", name),
        hub=sources.get("hub"),
        split=row.get("split", "test"),
        indices=indices,
        images=row.get("images"),
        labels=row.get("labels", ""),
        location=_location(path, row.get("path", "")),
        licence=row.get("licence", ""),
        get=row.get("get", ""),
        place=row.get("lr0fm", 0),
    )


def _captioned(path: Any, name: str, row: Mapping[str, Any]) -> Dataset:
    if row["captions"] is not True:
        raise UserError(f"captions of '{path}' are {brief(row['captions'])}; write true, or leave the key out")
    if other := [key for key in _OF_CLASSES if key in row]:
        raise UserError(f"'{path}' has both 'captions' and '{other[0]}'; images have captions or classes, keep one")
    return Dataset(
        name=name,
        group=row.get("group", ()),
        classes=(),
        templates=(),
        expected_count=row.get("count"),
        tfds=None,
        paper_classes=0,
        title=row.get("title", name),
        split=row.get("split", "test"),
        location=_location(path, row.get("path", "")),
        licence=row.get("licence", ""),
        get=row.get("get", ""),
        captioned=True,
    )


def _repeated(names: Sequence[str]) -> str | None:
    name, times = collections.Counter(map(exact, names)).most_common(1)[0]
    return name if times > 1 else None


def _content(path: Path | Traversable) -> dict[str, Any]:
    try:
        text = read_text(path) if isinstance(path, Path) else path.read_text(encoding="utf-8")
        row = (parse_json if path.name.endswith(".json") else parse_yaml)(text)
    except (OSError, ValueError) as error:
        raise UserError(f"data set file '{path}' cannot be read ({error}); mend it or correct its name") from error
    if not isinstance(row, dict):
        raise UserError(f"data set file '{path}' holds {type(row).__name__}; it must map keys such as 'classes'")
    return row


def _given(path: Any, key: str, value: tuple[str, ...] | None) -> tuple[str, ...]:
    if not value:
        raise UserError(f"'{path}' has no {key}; give a list, or the name of another data set in 'prompts'")
    return value


def _texts(path: Any, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise UserError(f"{key} of '{path}' is {brief(value)}; give a list of texts")
    for one in value:
        if not isinstance(one, str) or not one.strip():  # YAML reads a plain no as False and 0 as a number
            raise UserError(f"{key} of '{path}' has {brief(one)}; write texts, in quotes")
    try:  # PyYAML reads the two escapes of an emoji, "\\ud83d\\ude00", as two halves
        return tuple(one.encode("utf-16", "surrogatepass").decode("utf-16") for one in value)
    except UnicodeDecodeError as error:
        raise UserError(f"{key} of '{path}' have half of a character ({error.reason}); write it again") from error


def _classes(path: Any, value: Any) -> tuple[str, ...]:
    if not isinstance(value, str):
        return _texts(path, "classes", value)
    check_inside(value, place=f"classes of '{path}'")
    try:
        lines = read_text(Path(path).parent / value).splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"classes of '{path}' are in '{value}', which cannot be read ({error}); correct it") from error
    return _texts(path, "classes", [line.strip() for line in lines if line.strip()])


def _prompts(path: Any, value: Any, find: Callable) -> tuple[dict[str, Any], tuple[int, ...] | None]:
    if value is None:
        return {}, None
    if not isinstance(value, (str, dict)) or (isinstance(value, dict) and set(value) != {"of", "indices"}):
        raise UserError(f"prompts of '{path}' are {brief(value)}; give a data set, or {{of: DATASET, indices: [...]}}")
    other = find(value if isinstance(value, str) else value["of"])
    indices = None if isinstance(value, str) else value["indices"]
    if indices is None:
        return {"classes": other.classes, "templates": other.templates, "folders": other.folders}, other.indices
    if not isinstance(indices, list) or not all(type(i) is int and 0 <= i < len(other.classes) for i in indices):
        raise UserError(f"indices of '{path}' must be a list of numbers from 0 to {len(other.classes) - 1}; correct it")
    if len(set(indices)) < len(indices):
        raise UserError(f"indices of '{path}' name {max(indices, key=indices.count)} twice; name each class once")
    picked = {"classes": other.classes, "folders": other.folders}
    taken = {key: names and tuple(names[i] for i in indices) for key, names in picked.items()}
    return taken | {"templates": other.templates}, tuple(indices)


def _sources(path: Any, value: Any) -> dict[str, tuple[str, str]]:
    example = "{tfds: {name: ..., split: ...}, hub: {name: ..., split: ...}}"
    if not isinstance(value, Mapping) or not set(value) <= {"tfds", "hub"}:
        raise UserError(f"sources of '{path}' are {brief(value)}; write {example}")
    for one in value.values():
        texts = isinstance(one, Mapping) and all(isinstance(text, str) for text in one.values())
        if not texts or set(one) != {"name", "split"}:
            raise UserError(f"sources of '{path}' have {brief(one)}; write {example}")
    return {key: (one["name"], one["split"]) for key, one in value.items()}


def _location(path: Any, value: str) -> str:
    if not value:
        return ""
    kind, location = split_location(value)
    try:
        check_inside(location, place=f"path of '{path}'")
    except UserError as error:
        raise UserError(f"{error}, or say where the images are in config.data.sources") from error
    place = location and str(Path(path).parent / location)
    return f"{kind}:{place}" if kind else place
