"""Checkpoint files opened lazily: keys and shapes at once, one tensor when it is asked for."""

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from checkpoints_conv.npz_reader import NUMPY_SUFFIXES, open_numpy
from checkpoints_conv.rules import Reader, Shape
from checkpoints_conv.torchscript import TorchScriptReader, is_torchscript
from lrjax.errors import UserError

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, *NUMPY_SUFFIXES)

_CONTAINERS = ("state_dict", "model", "module")
_PARALLEL_PREFIX = "module."
_SAFETENSORS_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


class _SafetensorsReader:
    format = "safetensors"

    def __init__(self, handle: Any, path: Path):
        self._handle, self._path = handle, path
        self._keys = list(handle.keys())
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            self._entries = json.loads(file.read(size))
        self.metadata = self._entries.pop("__metadata__", {})
        self._start = 8 + size

    def keys(self) -> list[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        return tuple(self._entries[key]["shape"])

    def read(self, key: str) -> np.ndarray:
        entry = self._entries[key]
        if entry["dtype"] not in _SAFETENSORS_DTYPES:
            return self._handle.get_tensor(key)
        # The handle would map the file into memory, where its pages stay, and then copy the tensor.
        first, end = entry["data_offsets"]
        content = np.fromfile(self._path, np.uint8, end - first, offset=self._start + first)
        return content.view(_SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])


class _TorchReader:
    """Tensors that `load` maps into memory, mapped anew before the pages that were read exceed the largest tensor."""

    format = "torch"

    def __init__(self, load: Callable[[], dict[str, Any]], *, mapped: bool):
        self._load, self._mapped = load, mapped
        self._tensors = load()
        self._largest = max(tensor.nbytes for tensor in self._tensors.values())
        self._touched = 0

    def keys(self) -> list[str]:
        return list(self._tensors)

    def shape(self, key: str) -> Shape:
        return tuple(self._tensors[key].shape)

    def read(self, key: str) -> np.ndarray:
        import torch

        if self._mapped and self._touched + self._tensors[key].nbytes > self._largest:
            self._tensors, self._touched = {}, 0  # unmaps the file
            self._tensors = self._load()
        tensor = self._tensors[key].detach()
        self._touched += tensor.nbytes
        if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16 of its own, so the bits are handed over
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Reader]:
    """Open a checkpoint file without reading its tensors.

    Args:
        path: a .safetensors file, a .pt, .pth or .bin file of `torch.save` or `torch.jit.save`, or a .npz file.
            Containers ("state_dict", "model", "module") and the prefix "module." of data-parallel training are removed.

    Returns:
        A context manager of a reader with `keys()`, `shape(key)`, `read(key)` and `format`, the kind of file.

    Raises:
        UserError: when the file is missing, damaged, of another kind or needs PyTorch, which is not installed.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a directory; name the file inside it, one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"checkpoint file {path} does not exist; check the path")
    if path.suffix == ".safetensors":
        try:
            handle = safetensors.safe_open(path, framework="numpy")
        except (safetensors.SafetensorError, OSError) as error:
            raise UserError(f"checkpoint file {path} is damaged or incomplete ({error}); download it again") from error
        with handle:
            yield _SafetensorsReader(handle, path)
    elif path.suffix in NUMPY_SUFFIXES:
        with open_numpy(path) as reader:
            yield reader
    elif path.suffix in TORCH_SUFFIXES and is_torchscript(path):
        with zipfile.ZipFile(path) as archive:
            yield TorchScriptReader(archive, path, rename=_without_parallel_prefix)
    elif path.suffix in TORCH_SUFFIXES:
        # Files older than the zip format (torch 1.6) cannot be mapped and are in memory as a whole.
        mapped = zipfile.is_zipfile(path)
        yield _TorchReader(lambda: _unwrap(_load_torch(path, mapped=mapped), path), mapped=mapped)
    else:
        raise UserError(f"checkpoint file {path} has an unknown suffix; use one of {', '.join(SUFFIXES)}")


def _load_torch(path: Path, *, mapped: bool) -> Any:
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch; run `pip install torch`, or use this checkpoint as .safetensors"
        ) from error
    try:
        return torch.load(path, weights_only=True, mmap=mapped, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise UserError(
            f"checkpoint file {path} is damaged or holds Python objects besides tensors, which are never executed; "
            "save its state_dict() alone and convert that file"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(f"checkpoint file {path} is damaged or incomplete; download it again") from error


def _unwrap(content: Any, path: Path) -> dict[str, Any]:
    import torch

    while isinstance(content, Mapping):
        inner = next((name for name in _CONTAINERS if isinstance(content.get(name), Mapping)), None)
        if inner is None:
            break
        content = content[inner]
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"checkpoint file {path} holds no dictionary of tensors; save the model's state_dict() and convert that"
        )
    strange = next((key for key, value in content.items() if not isinstance(value, torch.Tensor)), None)
    if strange is not None:
        raise UserError(
            f"entry {strange!r} of checkpoint file {path} is not a tensor; save the state_dict() alone and convert that"
        )
    return dict(zip(_without_parallel_prefix(list(content)), content.values(), strict=True))


def _without_parallel_prefix(keys: list[str]) -> list[str]:
    if all(key.startswith(_PARALLEL_PREFIX) for key in keys):
        return [key.removeprefix(_PARALLEL_PREFIX) for key in keys]
    return keys
