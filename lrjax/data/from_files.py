"""Data sets that no row describes: their files name the classes themselves, and the prompt is `TEMPLATE`.

Every class has a folder, or its images have its name as their label, in any kind of source (`lrjax.data.locations`).
Prompts have the names as they are, with spaces for underscores; those of ImageNet for its ids, such as n01440764.
"""

import collections
import os
import re
from collections.abc import Sequence
from pathlib import Path

from lrjax.data.dataset import Dataset
from lrjax.data.locations import KINDS, detect, open_listed, wordnet
from lrjax.data.sources.folder import existing_folder, subfolders
from lrjax.data.sources.matching import is_split
from lrjax.data.sources.tfds import TfdsSource
from lrjax.errors import UserError

TEMPLATE = "a photo of a {}."
_SPLIT = "test"
_SUFFIX = re.compile(r"\.(tar|tar\.\w+|tgz|parquet|json)$")
_NO_WORD = re.compile(r"[\d.+-]+|n\d{8}")


def dataset_of(place: str) -> Dataset | None:
    """Returns the data set at a place, called as its folder or file; None where nothing is there.

    Args:
        place: LOCATION or KIND:LOCATION.

    Raises:
        UserError: its kind is not certain, its files do not name their classes, or name fewer than two.
    """
    kind, _, location = place.partition(":")
    if kind not in KINDS:
        kind, location = "", place
    path = Path(location).expanduser()
    if not location or not path.exists():
        return None
    kind = kind or detect(path, key="config.data.names", split=_SPLIT)
    names = _folders(path) if kind == "folder" else _labels(kind, path)
    shown = _shown(path, names)
    return Dataset(
        name=_name(path),
        group=(),
        classes=shown,
        templates=(TEMPLATE,),
        expected_count=None,
        tfds=None,
        paper_classes=len(shown),
        folders=tuple(names),
        location=f"{kind}:{path}",
        assumed=f"the classes are those that its files name, the prompt is '{TEMPLATE}'",
    )


def _name(path: Path) -> str:
    name = re.sub(r"[^\w-]+", "_", _SUFFIX.sub("", os.path.basename(os.path.abspath(path))))
    if not re.search(r"\w", name):
        raise UserError(f"'{path}' has no name that results could have; give the path of a folder with a name")
    return name


def _folders(path: Path) -> list[str]:
    """The class folders, but those of a release that has splits, or one folder around them."""
    found = subfolders(existing_folder(path))
    splits = [name for name in found if is_split(name)]
    if nested := [name for name in splits if subfolders(path / name) or len(splits) == len(found)]:
        part = path / max(nested, key=lambda name: name.lower().startswith(("test", "val")))
        raise UserError(f"'{path}' holds '{nested[0]}', a split, instead of class folders; name '{part}'")
    if len(found) == 1 and len(subfolders(path / found[0])) > 1:
        raise UserError(f"'{path}' holds one folder, '{found[0]}', instead of class folders; name '{path / found[0]}'")
    return found


def _labels(kind: str, path: Path) -> list[str]:
    """The names of the classes in the order of their numbers; sorted, where images have names as labels."""
    if kind == "tfds":
        raise UserError(f"'tfds:{path}' does not say which data set; name array_record:FOLDER, a prepared one")
    if kind == "array_record":
        return list(TfdsSource(path, _SPLIT).names)
    source = open_listed(kind, path, _SPLIT)
    if source.names is not None:
        return list(source.names)
    found = {one for label in source.labels for one in (label if isinstance(label, tuple) else (label,))}
    if source.form == "folder":
        found = {str(one).partition("/")[0] for one in found}
        if splits := sorted(name for name in map(str, found) if is_split(name)):
            raise UserError(f"'{path}' holds '{splits[0]}', a split, instead of class folders; pack one split alone")
    if numbers := sorted(one for one in found if not isinstance(one, str)):
        raise _without_words(path, numbers[0])
    return sorted(map(str, found))


def _shown(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The names of classes as prompts have them."""
    if len(names) < 2:
        found = f"names one class, '{names[0]}'" if names else "names no class"
        raise UserError(f"'{path}' {found}; a data set needs two class folders or more")
    words = wordnet()
    if set(names) <= words.keys():
        names = [words[name] for name in names]
    elif strange := [name for name in names if _NO_WORD.fullmatch(name)]:
        raise _without_words(path, strange[0])
    shown = tuple(" ".join(name.replace("_", " ").split()) for name in names)
    name, times = collections.Counter(one.casefold() for one in shown).most_common(1)[0]
    if times > 1 or not name:
        raise UserError(f"'{path}' has {times} classes that prompts call '{name}'; rename them, {_DESCRIBE}")
    return shown


_DESCRIBE = "or describe the data set in a YAML file (lrjax/data/rows.py)"


def _without_words(path: Path, name: object) -> UserError:
    return UserError(f"class '{name}' of '{path}' is no word that a prompt could have; rename it, {_DESCRIBE}")
