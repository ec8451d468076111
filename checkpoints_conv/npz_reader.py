"""NumPy archives opened lazily: the headers at once, one array when it is asked for. Nothing is ever unpickled."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import ml_dtypes
import numpy as np

from checkpoints_conv.rules import Shape
from lrjax.errors import UserError

NUMPY_SUFFIXES = (".npz", ".npy")

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_DAMAGED = (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, NotImplementedError, RuntimeError)


class _NpzReader:
    format = "npz"

    def __init__(self, archive: zipfile.ZipFile, path: Path):
        self._archive, self._path = archive, path
        names = [name for name in archive.namelist() if not name.endswith("/")]
        self._names = {name.removesuffix(".npy"): name for name in names}
        self._shapes = {key: self._entry(key, _read_shape) for key in self._names}
        if not self._names:
            raise UserError(f"checkpoint file {path} holds no arrays; check the path")
        pickled = [key for key, shape in self._shapes.items() if shape is None]
        if pickled:
            raise UserError(
                f"entry {pickled[0]!r} of checkpoint file {path} holds pickled Python objects, which are never "
                "executed; save arrays of numbers alone"
            )

    def keys(self) -> list[str]:
        return list(self._names)

    def shape(self, key: str) -> Shape:
        return self._shapes[key]

    def read(self, key: str) -> np.ndarray:
        array = self._entry(key, lambda file: np.lib.format.read_array(file, allow_pickle=False))
        # NumPy has no bfloat16 of its own and stores it as two bytes without a meaning.
        return array.view(ml_dtypes.bfloat16) if array.dtype == np.dtype("V2") else array

    def _entry(self, key: str, read: Callable[[IO[bytes]], Any]) -> Any:
        try:
            with self._archive.open(self._names[key]) as file:
                return read(file)
        except _DAMAGED as error:
            raise UserError(
                f"entry {key!r} of checkpoint file {self._path} is damaged or no array; download the file again"
            ) from error


def _read_shape(file: IO[bytes]) -> Shape | None:
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version}")
    shape, _, dtype = _HEADERS[version](file)
    return None if dtype.hasobject else shape


@contextmanager
def open_numpy(path: Path) -> Iterator[_NpzReader]:
    """Open a NumPy archive without reading its arrays.

    Args:
        path: a .npz file, plain or compressed; a .npy file only if it is such an archive under another name.

    Returns:
        A context manager of a reader as that of `open_checkpoint`, with the `format` "npz".

    Raises:
        UserError: when the file is damaged, holds one array only or holds pickled objects.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(_describe(path))
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise UserError(f"checkpoint file {path} is damaged or incomplete ({error}); download it again") from error
    with archive:
        yield _NpzReader(archive, path)


def _describe(path: Path) -> str:
    try:
        with path.open("rb") as file:
            shape = _read_shape(file)
    except (ValueError, EOFError, OSError):
        return f"checkpoint file {path} is damaged or incomplete; download it again"
    if shape is None:
        return (
            f"checkpoint file {path} holds pickled Python objects, which are never executed; convert the PyTorch file "
            "that it was made from, or save its arrays under '/'-joined names with numpy.savez"
        )
    return f"checkpoint file {path} holds one array; save all arrays under '/'-joined names with numpy.savez"
