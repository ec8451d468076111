"""Parquet files as the Hugging Face hub has them: a column of images and a column of labels."""

import collections
import contextlib
import json
import os
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lrjax.checks.files import check_inside, check_regular
from lrjax.data.memory import MEMORY
from lrjax.data.sources.base import ListedImages, as_labels
from lrjax.errors import UserError

_IMAGE_COLUMNS = ("image", "img")
_GROUPS_KEPT = 2  # images are read in order: the group of one thread and the next one
_ROWS_AT_ONCE = 1024
_BYTES_PER_ROW = 200
"""Of the list of the images: place, id, label."""


class _Groups:
    """The row groups that were read last, of all files together, whose memory is bounded with that of images."""

    def __init__(self) -> None:
        self._kept: collections.OrderedDict[Any, Any] = collections.OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Any, read: Callable[[], Any]) -> Any:
        """Returns what was read for a key, or reads it, one at a time."""
        with self._lock:
            if key not in self._kept:
                if len(self._kept) >= _GROUPS_KEPT:
                    self._kept.popitem(last=False)
                    MEMORY.keep(sum(one.nbytes for one in self._kept.values()))
                self._kept[key] = read()
                MEMORY.keep(sum(one.nbytes for one in self._kept.values()))
            return self._kept[key]


_GROUPS = _Groups()


class ParquetImages(ListedImages):
    """Images in Parquet files with a column `image` (or `img`), a column `label` and perhaps `origin`.

    An image is {bytes, path}, or its bytes.

    Labels are numbers, class names or lists of these; class names of the numbers are taken from the schema, where the
    library `datasets` writes them. Images are read by row group, of which a few are kept.

    Args:
        location: a file, or a folder with files, which may be in a folder `data` or carry the split in their names.
        split: "test-00000-of-00002.parquet", "test/0000.parquet" and "default/test/0000.parquet" are files of split
            "test"; it is ignored where all files are of one split, as "0000.parquet" and "0001.parquet" are.

    Raises:
        UserError: pyarrow is not installed, there is no file of the split, one is damaged, a column is missing, or a
            row group needs more memory than `memory.MEMORY` allows.
    """

    def __init__(self, location: str | os.PathLike, *, split: str = "test"):
        self.shards = find_files(Path(location), split)
        self.files = [*self.shards]
        self.rows: list[tuple[int, int, int]] = []  # file, row group, row in it
        ids, paths, labels, origins, names = [], [], [], [], []
        for number, path in enumerate(self.shards):
            file, self.column = _open(path)
            nested = file.schema_arrow.field(self.column).type.num_fields > 0
            names.append(_class_names(path, file))
            if names[0] != names[-1]:
                raise UserError(
                    f"'{self.shards[0]}' and '{path}' differ in their class names; write them with the same"
                )
            columns = ["label", *({"origin"} & set(file.schema_arrow.names))]
            MEMORY.check(_BYTES_PER_ROW * (len(self.rows) + file.metadata.num_rows), f"the list of images of '{path}'")
            for group in range(file.num_row_groups):
                table = _columns(path, file, group, [*([f"{self.column}.path"] if nested else []), *columns])
                self.rows += [(number, group, row) for row in range(len(table))]
                paths += (
                    [one and one["path"] for one in table[self.column].to_pylist()] if nested else [None] * len(table)
                )
                self.files += _outside(path, file, group, self.column) if nested else []
                labels += table["label"].to_pylist()
                origins += table["origin"].to_pylist() if "origin" in columns else [None] * len(table)
            ids += [f"{path.stem}/{row}" for row in range(len(self.rows) - len(ids))]
        labels = [as_labels(label, place=f"'{ids[row]}' of '{location}'") for row, label in enumerate(labels)]
        unique = None not in paths and len(set(paths)) == len(paths)
        super().__init__(location, paths if unique else ids, labels, names[0])
        self.origins = None if None in origins else origins
        self._token = uuid.uuid4().hex  # of this state of the files

    def encoded(self, index: int) -> bytes | Path:
        """Returns the encoded bytes of an image, or its path where the file holds only that."""
        number, group, row = self.rows[index]
        image = self._group(number, group)[row].as_py()
        content, path = (image["bytes"], image["path"]) if isinstance(image, dict) else (image, None)
        return self.shards[number].parent / path if content is None and path else content or b""

    def _group(self, number: int, group: int) -> Any:
        path = self.shards[number]

        def read() -> Any:
            file, column = _open(path)
            return _columns(path, file, group, [column])[column]

        return _GROUPS.get((self._token, number, group), read)


def find_files(location: Path, split: str) -> list[Path]:
    """Returns the Parquet files of a split, sorted.

    Args:
        location: a file or a folder.
        split: name of the split; ignored where all files are of one.

    Raises:
        UserError: there is no file, or several splits and none of this name.
    """
    if location.is_file():
        return [location]
    patterns = ("*.parquet", "*/*.parquet", "*/*/*.parquet")
    found = sorted(path for pattern in patterns for path in location.glob(pattern))
    if not found:
        raise UserError(f"'{location}' holds no *.parquet; give a Parquet file or a folder of them")
    splits: dict[str, list[Path]] = {}
    for path in found:
        inside = path.parent.name if path.parent != location and path.parent.name != "data" else ""
        name = inside or ("" if path.stem.isdigit() else path.stem.split("-")[0])
        splits.setdefault(name, []).append(path)
    if len(splits) > 1 and split not in splits:
        raise UserError(f"'{location}' has no split '{split}', only {', '.join(splits)}; give the path of one file")
    chosen = splits.get(split) or found
    if len(folders := sorted({path.parent for path in chosen})) > 1:
        raise UserError(f"'{folders[0]}' and '{folders[1]}' both hold split '{split}'; give the path of one of them")
    return chosen


def _open(path: Path) -> tuple[Any, str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError(f"'{path}' needs pyarrow; install it with: pip install pyarrow") from error
    with _reading(path):
        check_regular(path)
        file = parquet.ParquetFile(path)
    columns = file.schema_arrow.names
    image = next((name for name in _IMAGE_COLUMNS if name in columns), None)
    if image is None or "label" not in columns:
        missing = "image" if image is None else "label"
        raise UserError(f"'{path}' has no column '{missing}' (it has {', '.join(columns)}); rename one")
    kind = file.schema_arrow.field(image).type
    plain = pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind)
    if not plain and (not pyarrow.types.is_struct(kind) or {field.name for field in kind} != {"bytes", "path"}):
        raise UserError(f"column '{image}' of '{path}' is {kind}; it must be bytes, or a struct of bytes and path")
    return file, image


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    import pyarrow

    try:
        yield
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"'{path}' cannot be read as Parquet ({error}); fetch or write it again") from error


def _columns(path: Path, file: Any, group: int, columns: list[str]) -> Any:
    """Some columns of a row group. A dictionary of large values may unfold to far more than the file says."""
    import pyarrow

    name, metadata = f"row group {group} of '{path}'", file.metadata.row_group(group)
    chunks = [metadata.column(number) for number in range(metadata.num_columns)]
    size = sum(one.total_uncompressed_size for one in chunks if _is_of(one.path_in_schema, columns))
    MEMORY.check_kept(size, name)
    rows = min(max(1, MEMORY.limit // (8 * max(size, 1))), _ROWS_AT_ONCE)
    batches, found = [], 0
    with _reading(path):
        for batch in file.iter_batches(rows, row_groups=[group], columns=columns):
            batches.append(batch)
            found += batch.nbytes
            MEMORY.check_kept(found, name)
        return pyarrow.Table.from_batches(batches, batches[0].schema if batches else file.schema_arrow)


def _is_of(leaf: str, columns: Sequence[str]) -> bool:
    return any(f"{leaf}.".startswith(f"{column}.") for column in columns)


def _outside(path: Path, file: Any, group: int, column: str) -> list[Path]:
    """The files of those images of a row group that lie beside the Parquet file."""
    chunks = (file.metadata.row_group(group).column(number) for number in range(file.metadata.num_columns))
    statistics = next(chunk.statistics for chunk in chunks if chunk.path_in_schema == f"{column}.bytes")
    if statistics is not None and statistics.has_null_count and not statistics.null_count:
        return []
    images = (one.as_py() or {} for one in _columns(path, file, group, [column])[column])
    names = [one["path"] for one in images if one.get("bytes") is None and one.get("path")]
    for name in names:
        check_inside(name, place=f"'{path}'")
    return [path.parent / name for name in names]


def _class_names(path: Path, file: Any) -> list[str] | None:
    try:
        metadata = json.loads((file.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
        feature = metadata["info"]["features"]["label"]
        feature = feature[0] if isinstance(feature, list) else feature.get("feature", feature)
        names = feature.get("names")
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    if isinstance(names, dict):  # {"0": "cat", ...}
        names = [names.get(str(number)) for number in range(len(names))]
    texts = [name for name in names if isinstance(name, str)] if isinstance(names, list) else None
    if names is not None and texts != names:
        raise UserError(f"the class names of column 'label' of '{path}' are no list of texts; write the file again")
    return texts
