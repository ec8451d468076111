"""The results of a run: one JSON line per number, and arrays with one entry per example, both valid on disk at every
moment.

`results.jsonl` holds one `Row` per model, variant, question, data set, condition and metric; `samples/<key>.npz` holds
the per-example arrays behind the rows of a key. Every file is written next to its place, flushed and renamed over it,
so a reader never sees half a file. A run holds the lock of its directory (`lrjax.results.lock`); of several processes
only process 0 may write.
"""

import dataclasses
import hashlib
import io
import json
import logging
import os
import platform
import uuid
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from lrjax import __version__
from lrjax.checks.files import read_regular
from lrjax.errors import UserError
from lrjax.results.row import SCHEMA, OtherSchemaError, Row, line_of, read_line

RESULTS_FILE = "results.jsonl"
_LOG = logging.getLogger(__name__)


def write_atomically(path: str | os.PathLike, content: bytes | str) -> None:
    """Writes a whole file such that a reader, or a crash at any moment, sees the old content or the new one and never a
    part.

    Args:
        path: the file; its directory is created where it is missing.
        content: the new content; text is encoded as UTF-8.

    Raises:
        OSError: the file cannot be written; the old one is then untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f".{path.name}.{uuid.uuid4().hex}.tmp"
    )  # same directory: a rename is atomic only within a file system
    try:
        with temporary.open("xb") as file:
            file.write(utf8(content) if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def utf8(text: str) -> bytes:
    r"""Encodes a text; half a character, which names of files may hold, becomes \udcff for example, as in JSON."""
    return text.encode(errors="backslashreplace")


class ResultStore:
    """The rows and per-example arrays in one directory.

    Args:
        directory: where `results.jsonl` and `samples/` are; created by the first `add`.

    Raises:
        UserError: `results.jsonl` is damaged; the message names the file, the line and the remedy.
    """

    def __init__(self, directory: str | os.PathLike) -> None:
        self.directory = Path(directory)
        self._rows = self._load()

    @property
    def path(self) -> Path:
        """The file that holds the rows."""
        return self.directory / RESULTS_FILE

    @property
    def rows(self) -> list[Row]:
        """All rows, the newest last."""
        return list(self._rows)

    def find(self, key: str) -> list[Row]:
        """Returns the rows of one evaluation, an empty list where it has not been done."""
        return [row for row in self._rows if row.key == key]

    def samples(self, key: str) -> dict[str, np.ndarray] | None:
        """Returns the per-example arrays of a key by name, or None where none were stored.

        Raises:
            UserError: the file is damaged.
        """
        path = self._samples_path(key)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except Exception as error:  # a damaged zip file raises BadZipFile, ValueError, EOFError, zlib.error, ...
            raise UserError(
                f"{path} is damaged ({error}); delete it and the rows of its key, and evaluate again"
            ) from error

    def add(self, rows: Sequence[Row], samples: Mapping[str, Mapping[str, np.ndarray]] | None = None) -> None:
        """Stores rows behind all others, in place of earlier rows with the same keys, all of them or none.

        The arrays are on disk before the rows that name them. Rows that another store wrote to the directory in the
        meantime are kept.

        Args:
            rows: all rows of one or more evaluations.
            samples: by key of these rows, arrays by name with one entry per example; what is stored for other keys
                is kept.

        Raises:
            ValueError: no rows, samples of a key without rows, arrays of Python objects, or two rows for one number.
            UserError: `results.jsonl` is damaged.
        """
        keys, samples = {row.key for row in rows}, samples or {}
        if not keys:
            raise ValueError("there are no rows to add")
        if alone := sorted(samples.keys() - keys):
            raise ValueError(f"samples of {', '.join(alone)} have no rows; add them together")
        seen = set()
        for row in rows:
            if (row.key, row.identity) in seen:
                raise ValueError(f"two rows for one number: {row.identity}")
            seen.add((row.key, row.identity))
        files = {self._samples_path(key): npz_bytes(arrays) for key, arrays in samples.items()}
        kept = [row for row in self._load() if row.key not in keys]
        content = utf8("".join(map(line_of, [*kept, *rows])))  # fails before anything is written
        for path, arrays in files.items():
            write_atomically(path, arrays)
        if not self.path.exists() or self.path.read_bytes() != content:
            write_atomically(self.path, content)
        self._rows = [*kept, *rows]

    def _samples_path(self, key: str) -> Path:
        return self.directory / "samples" / f"{key}.npz"

    def _load(self) -> list[Row]:
        if self.directory.exists() and not self.directory.is_dir():
            raise UserError(f"{self.directory} is a file, but results are kept in a directory; name another one")
        if not self.path.exists():
            return []
        rows = []
        for number, line in enumerate(read_regular(self.path).split(b"\n"), start=1):
            if line.strip():
                try:
                    rows.append(read_line(line))
                except OtherSchemaError as error:
                    raise UserError(
                        f"{self.path}, line {number}, has schema version {error}, but lrjax {__version__} reads 1 and "
                        f"{SCHEMA}; use the lrjax that wrote it, or evaluate again into another directory"
                    ) from error
                except ValueError as error:
                    raise UserError(
                        f"{self.path} is damaged in line {number}: {error}; restore the file, or delete this line and "
                        "the other lines of its key and evaluate again"
                    ) from error
        return rows


def read_rows(directories: Sequence[str | os.PathLike]) -> list[Row]:
    """Reads the rows of several results directories, with a name of its own for each model (`told_apart`).

    Of several results for one number in one directory the newest counts, for a run has been repeated there, for
    instance after its images were replaced.

    Args:
        directories: each with a `results.jsonl`.

    Raises:
        UserError: a directory has no results, or damaged ones.
    """
    rows = []
    for directory in directories:
        store = ResultStore(directory)
        if not store.rows:
            raise UserError(f"there are no results in {store.path}; evaluate a model first, or name another directory")
        newest = {(row.identity, *(row.extra.get(one) for one in ("weights", "backbone"))): row for row in store.rows}
        if older := len(store.rows) - len(newest):
            _LOG.info("%s: %d results of earlier runs have newer ones, which count", store.path, older)
        rows += newest.values()
    return told_apart(rows)


def told_apart(rows: Sequence[Row]) -> list[Row]:
    """Gives models that have one name but other weights, or another backbone, different names.

    Args:
        rows: result rows.

    Returns:
        The rows in their order. A name that stands for several models has behind it, in brackets, the first digits of
        the hash of the weights, and the backbone where that differs too: "mine (3fa2c1)".
    """
    vanilla: dict[str, set[str]] = {}
    for row in rows:
        if row.variant == "vanilla":
            vanilla.setdefault(row.model, set()).add(row.extra.get("weights", ""))
    identities = [_identity(row, vanilla.get(row.model, set())) for row in rows]
    by_name: dict[str, list[tuple[str, str, str]]] = {}
    for identity in dict.fromkeys(identities):
        by_name.setdefault(identity[0], []).append(identity)
    names = {identity: name for found in by_name.values() for identity, name in _distinct_names(found).items()}
    return [dataclasses.replace(row, model=names[one]) for row, one in zip(rows, identities, strict=True)]


def _identity(row: Row, vanilla: set[str]) -> tuple[str, str, str]:
    """Name, hash of the weights and backbone of the model of a row."""
    name, weights = row.model, row.extra.get("weights", "")
    if "backbone" not in row.extra and len(vanilla) == 1:  # written when the hash was also of what had been trained
        (weights,) = vanilla
    return name, weights, row.extra.get("backbone", name)


def _distinct_names(models: Sequence[tuple[str, str, str]]) -> dict[tuple[str, str, str], str]:
    """A name for each of the models that share one."""
    _, weights, backbones = ({*parts} for parts in zip(*models, strict=True))
    digits = next(count for count in range(6, 65) if len({one[:count] for one in weights}) == len(weights))
    found = {}
    for model in models:
        name, hashed, backbone = model
        parts = [hashed[:digits] or "unknown weights"] * (len(weights) > 1) + [backbone] * (len(backbones) > 1)
        found[model] = f"{name} ({', '.join(parts)})" if parts else name
    return found


def find_samples(directories: Sequence[str | os.PathLike]) -> Callable[[str], dict[str, np.ndarray] | None]:
    """Returns a function that gives the per-example arrays of a key, from whichever directory has them.

    Args:
        directories: as in `read_rows`.
    """
    stores = [ResultStore(directory) for directory in directories]
    return lambda key: next((found for store in stores if (found := store.samples(key)) is not None), None)


def npz_bytes(arrays: Mapping[str, np.ndarray], *, compress: bool = True) -> bytes:
    """Returns the content of an .npz file.

    Args:
        arrays: arrays by name.
        compress: whether it is compressed, which for floats costs more time than it saves room.

    Raises:
        ValueError: an array has a dtype that the file cannot hold.
    """
    content: dict[str, Any] = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in content.items():
        if values.dtype.hasobject or values.dtype.kind == "V":  # bfloat16 is kind V: np.load would give raw bytes back
            raise ValueError(
                f"sample array {name!r} has dtype {values.dtype}, which an npz file cannot hold; convert it first"
            )
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, **content)
    return buffer.getvalue()


def content_key(**parts: Any) -> str:
    """Hashes the parts that determine a result, the same in every process and on every machine.

    Args:
        **parts: JSON-able values and arrays, nested in mappings with text keys, lists and tuples; order matters in
            lists only.

    Returns:
        32 hexadecimal digits. Arrays count by their bytes, shape and dtype.

    Raises:
        TypeError: a part that has no stable content, such as an object or a mapping with other keys than text.
        ValueError: a NaN or infinite number outside arrays.
    """
    text = json.dumps(_canonical(parts), sort_keys=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _canonical(part: Any) -> Any:
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, np.generic) and isinstance(part.item(), bool | int | float | str):
        return part.item()
    if isinstance(part, Mapping):
        if not all(isinstance(name, str) for name in part):
            raise TypeError(f"content keys need mappings with text keys, but got {list(part)}")
        return {name: _canonical(value) for name, value in part.items()}
    if isinstance(part, list | tuple):
        return [_canonical(value) for value in part]
    if hasattr(part, "__array__"):
        array = np.ascontiguousarray(part)
        if array.dtype.hasobject:
            raise TypeError("an array of Python objects has no stable content")
        # np.shape: ascontiguousarray turns a scalar array into shape (1,)
        return {
            "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            "shape": list(np.shape(part)),
            "dtype": f"{array.dtype.byteorder}{array.dtype.name}",
        }
    raise TypeError(f"a {type(part).__name__} has no stable content; give numbers, texts, lists, mappings or arrays")


def package_versions(*more: str) -> dict[str, str]:
    """Returns the versions of Python and of the packages that a result can depend on, without importing them.

    Args:
        *more: names of further packages.
    """
    versions = {"python": platform.python_version(), "lrjax": __version__}
    for name in ("jax", "flax", "optax", "numpy", "pillow", *more):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
