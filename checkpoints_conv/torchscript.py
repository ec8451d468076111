"""TorchScript archives (`torch.jit.save`), read without PyTorch and without running anything that they hold.

An archive is a zip file: `data.pkl` describes the tree of modules, `data/N` holds the bytes of storage N, and `code/`
the programs, which are not looked at.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from checkpoints_conv.rules import Shape
from lrjax.errors import UserError

_DTYPES = {
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
    "ShortStorage": np.dtype("<i2"),
    "IntStorage": np.dtype("<i4"),
    "LongStorage": np.dtype("<i8"),
}
_LISTS = ("build_boollist", "build_doublelist", "build_intlist", "build_tensorlist", "restore_type_tag")


def is_torchscript(path: Path) -> bool:
    """Tell whether a file is a TorchScript archive rather than one of `torch.save`."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.split("/")[1:] == ["constants.pkl"] for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


class TorchScriptReader:
    """The tensors of an archive under the names that its state dict would have.

    Args:
        archive: open zip file, which must outlive the reader.
        path: path of the file, for messages.

    Raises:
        UserError: when the archive is damaged or asks for Python objects besides modules and tensors.
    """

    format = "torchscript"

    def __init__(self, archive: zipfile.ZipFile, path: Path):
        self._archive, self._path = archive, path
        try:
            tree = next(name for name in archive.namelist() if name.split("/")[1:] == ["data.pkl"])
            self._root = tree.removesuffix(".pkl")
            found = dict(_tensors(_read_pickle(archive.read(tree))))
            for tensor in found.values():
                self._check(tensor)
        except _Refused as error:
            raise UserError(
                f"checkpoint file {path} asks for the Python object {error}, and pickled objects are never executed; "
                "save its state_dict() alone and convert that file"
            ) from error
        except Exception as error:  # a damaged pickle can raise anything
            raise UserError(f"checkpoint file {path} is damaged or incomplete; download it again") from error
        if not found:
            raise UserError(f"checkpoint file {path} holds no tensors; save the model's state_dict() and convert that")
        self._tensors = found

    def keys(self) -> list[str]:
        """Return the name of every tensor."""
        return list(self._tensors)

    def shape(self, key: str) -> Shape:
        """Return the shape of one tensor without reading it."""
        return self._tensors[key].shape

    def read(self, key: str) -> np.ndarray:
        """Read one tensor."""
        tensor = self._tensors[key]
        dtype = _DTYPES[tensor.storage.kind]
        try:
            content = self._archive.read(f"{self._root}/{tensor.storage.name}")
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise UserError(f"checkpoint file {self._path} is damaged or incomplete; download it again") from error
        values = np.frombuffer(content, dtype)[tensor.offset :]
        steps = tuple(dtype.itemsize * stride for stride in tensor.strides)
        return np.lib.stride_tricks.as_strided(values, tensor.shape, steps, writeable=False)

    def _check(self, tensor: "_Tensor") -> None:
        """Refuses a view that reaches beyond its storage, which `as_strided` would follow into foreign memory."""
        stored = self._archive.getinfo(f"{self._root}/{tensor.storage.name}").file_size
        numbers = (tensor.offset, *tensor.shape, *tensor.strides)
        last = tensor.offset + sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.strides, strict=True))
        beyond = math.prod(tensor.shape) and (last + 1) * _DTYPES[tensor.storage.kind].itemsize > stored
        if not all(isinstance(number, int) and number >= 0 for number in numbers) or beyond:
            raise ValueError("a tensor reaches beyond its storage")


class _Storage(NamedTuple):
    kind: str
    name: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: Shape
    strides: tuple[int, ...]


class _Refused(pickle.UnpicklingError):
    """A pickle asks for an object that is neither a module nor a tensor."""


def _read_pickle(content: bytes) -> Any:
    """Unpickles a tree of modules as dictionaries; everything that a pickle can reach is inert."""

    # Made anew for every archive, so that nothing that a pickle does to them outlives it.
    class Module(dict):
        def __setstate__(self, state: dict[str, Any]) -> None:
            self.update(state)

    def tensor(storage: _Storage, offset: int, shape: Shape, strides: tuple[int, ...], *_: Any) -> _Tensor:
        return _Tensor(_Storage(*storage), offset, tuple(shape), tuple(strides))

    def unchanged(value: Any, *_: Any) -> Any:
        return value

    known = {
        ("torch._utils", "_rebuild_tensor_v2"): tensor,
        ("collections", "OrderedDict"): dict,
        **{("torch", name): name for name in _DTYPES},
        **{("torch.jit._pickle", name): unchanged for name in _LISTS},
    }

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if module.split(".")[0] == "__torch__":
                return Module
            if (module, name) not in known:
                raise _Refused(f"{module}.{name}")
            return known[module, name]

        def persistent_load(self, identity: Any) -> _Storage:
            kind, storage, name, *_ = identity
            if kind != "storage" or storage not in _DTYPES:
                raise _Refused(f"{kind} {storage}")
            return _Storage(storage, str(name))

    return Unpickler(io.BytesIO(content)).load()


def _tensors(module: Any, prefix: str = "") -> Iterator[tuple[str, _Tensor]]:
    for name, value in module.items():
        if isinstance(value, _Tensor):
            yield f"{prefix}{name}", value
        elif isinstance(value, dict):
            yield from _tensors(value, f"{prefix}{name}.")
