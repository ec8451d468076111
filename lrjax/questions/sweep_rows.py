"""The rows of a sweep: of its jobs in one file, of batches in a part, of parts in a record."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lrjax.data.images import ImageError
from lrjax.data.source import Examples
from lrjax.questions.case import Arrays


def together(records: Mapping[str, Arrays]) -> dict[str, np.ndarray]:
    """Returns the arrays of several jobs by one name each, to be stored together."""
    return {
        f"{number}/{name}": array for number, record in enumerate(records.values()) for name, array in record.items()
    }


def apart(arrays: Arrays, jobs: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """Returns the arrays of each job again, whose keys are in the order of `together`."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for number, key in enumerate(jobs):
        own = {name: array for name, array in arrays.items() if name.startswith(f"{number}/")}
        found[key] = {name.removeprefix(f"{number}/"): array for name, array in own.items()}
    return found


def of_batches(rows: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns the rows of some batches; those without an image are left out, and the damaged ones are in "skipped"."""
    joined = _joined(rows)
    mask, index = joined.pop("mask"), joined["index"]
    return {name: array[mask] for name, array in joined.items()} | {"skipped": index[~mask & (index >= 0)]}


def _joined(parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Rows of several batches or parts, one after the other; sets of labels are filled up with -1."""
    width = max(part["label"].shape[1] for part in parts)
    labels = [
        np.pad(part["label"], ((0, 0), (0, width - part["label"].shape[1])), constant_values=-1) for part in parts
    ]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "label"}
    return joined | {"label": np.concatenate(labels)}


def of_parts(source: Examples, parts: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Returns the rows of all parts, in which every image of the source is once.

    Raises:
        ImageError: all images are damaged.
    """
    found = _joined(parts)
    index, skipped, label = found["index"], found["skipped"], found["label"]
    if len(skipped) == len(source):
        first = damaged_name(source, int(skipped[0]))
        raise ImageError(f"all {len(skipped)} images are damaged, the first is {first}; nothing can be measured", first)
    if not np.array_equal(np.sort(np.concatenate([index, skipped])), np.arange(len(source))):
        raise AssertionError(f"{len(index)} images counted and {len(skipped)} skipped of {len(source)}")
    return found | {"label": label[:, 0] if label.shape[1] == 1 else label}


def damaged_name(source: Examples, index: int) -> str:
    """Returns the name of an image that cannot be read."""
    try:
        return str(source[index]["id"])
    except ImageError as error:
        return error.name
