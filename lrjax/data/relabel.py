"""Other labels for the images of a data set, such as the reassessed labels of ImageNet (ReaL)."""

import re
from pathlib import Path
from typing import Any

from lrjax.data.source import Source
from lrjax.data.sources.base import Part
from lrjax.data.sources.split import read_json
from lrjax.errors import UserError

_VALIDATION = re.compile(r"ILSVRC2012_val_(\d{8})")


def relabel(source: Source, path: Path, *, mode: str, classes: int) -> Part:
    """Gives images other labels.

    Args:
        source: the images, with ids.
        path: of a JSON file: a list of lists of labels, by the number of ILSVRC2012_val_NUMBER in the ids, from 1; or
            {id: label or list of labels}.
        mode: "replace" leaves out images without a label; "add" takes the labels of both, and leaves none out.
        classes: number of classes.

    Returns:
        A source whose labels are tuples in rising order.

    Raises:
        UserError: the file is unreadable or has another form, or an image is not in it.

    Reference: Beyer et al. 2020, Are we done with ImageNet?, arXiv 2006.07159.
    """
    content = read_json(path)
    if not isinstance(content, (list, dict)):
        raise UserError(
            f"'{path}' holds {type(content).__name__}; it must be a list of labels by image, or {{id: labels}}"
        )
    assert source.ids is not None and source.labels is not None
    positions, labels = [], []
    for position, (name, label) in enumerate(zip(source.ids, source.labels, strict=True)):
        found = _found(content, name, path)
        if any(type(one) is not int or not 0 <= one < classes for one in found):
            raise UserError(f"labels of image '{name}' in '{path}' are {found}; give numbers from 0 to {classes - 1}")
        old = label if isinstance(label, tuple) else (label,)
        if found or mode == "add":
            positions.append(position)
            labels.append(tuple(sorted({*found, *(old if mode == "add" else ())})))
    if not positions:
        raise UserError(f"'{path}' has no label for any of the {len(source)} images; correct it")
    return Part(source, positions, labels)


def _found(content: list | dict, name: str, path: Path) -> list[Any]:
    if isinstance(content, dict):
        key = next((key for key in (name, name.rpartition("/")[2]) if key in content), None)
        if key is None:
            raise UserError(f"image '{name}' is not in '{path}'; add it")
        return content[key] if isinstance(content[key], list) else [content[key]]
    number = _VALIDATION.search(name)
    if number is None or not 1 <= int(number[1]) <= len(content):
        raise UserError(
            f"image '{name}' has no number of '{path}' in its name; keep the names ILSVRC2012_val_NUMBER.JPEG of the "
            "release, or use TFDS data set imagenet2012_real"
        )
    found = content[int(number[1]) - 1]
    if not isinstance(found, list):
        raise UserError(f"entry {int(number[1])} of '{path}' is {found!r}; it must be a list of labels")
    return found
