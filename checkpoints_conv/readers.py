"""Checkpoint files opened lazily: keys and shapes at once, one tensor when it is asked for."""

import json
import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from checkpoints_conv.npz_reader import NUMPY_SUFFIXES, open_numpy
from checkpoints_conv.rules import Reader, Shape
from checkpoints_conv.sharded import INDEX_SUFFIX, ShardedReader, read_index
from checkpoints_conv.torchscript import TorchScriptReader, is_torchscript
from checkpoints_conv.wrappers import plain_names, unwrap
from lrjax.errors import UserError

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES, *NUMPY_SUFFIXES)

_SAFETENSORS_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}


def split_entry(source: str | Path) -> tuple[Path, str]:
    """Return the file that a source names, and the weights in it that are chosen: "FILE" or "FILE:ENTRY".

    Args:
        source: a path; one that exists has no entry.
    """
    file, colon, entry = str(source).rpartition(":")
    if colon and not Path(source).exists() and Path(file).is_file():
        return Path(file), entry
    return Path(source), ""


def files_of(path: Path) -> list[Path]:
    """Return the files in which a checkpoint lies: itself, or an index and what it names, by name.

    Args:
        path: a checkpoint file.

    Raises:
        UserError: the index is damaged.
    """
    if not path.name.endswith(INDEX_SUFFIX):
        return [path]
    return [path, *(path.with_name(name) for name in sorted(set(read_index(path).values())))]


class _SafetensorsReader:
    format = "safetensors"

    def __init__(self, handle: Any, path: Path):
        self._path = path
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
            raise _no_floats(key, self._path, entry["dtype"])
        # The handle would map the file into memory, where its pages stay, and then copy the tensor.
        first, end = entry["data_offsets"]
        content = np.fromfile(self._path, np.uint8, end - first, offset=self._start + first)
        return content.view(_SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])


class _TorchReader:
    """Tensors that `load` maps into memory, mapped anew before the pages that were read exceed the largest tensor.

    `entry` is what is left of the chosen entry: "" if it was the name of a container.
    """

    format = "torch"

    def __init__(self, load: Callable[[], tuple[dict[str, Any], str]], path: Path, *, mapped: bool):
        self._load, self._path, self._mapped = load, path, mapped
        self._tensors, self.entry = load()
        self._largest = max(map(_bytes, self._tensors.values()))
        self._touched = 0

    def keys(self) -> list[str]:
        return list(self._tensors)

    def shape(self, key: str) -> Shape:
        return tuple(self._tensors[key].shape)

    def read(self, key: str) -> np.ndarray:
        import torch

        tensor = self._tensors[key]
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            kind = "no values" if tensor.is_meta else "quantised numbers" if tensor.is_quantized else "a sparse tensor"
            raise _no_floats(key, self._path, kind)
        if not tensor.is_floating_point() or tensor.element_size() < 2:
            raise _no_floats(key, self._path, str(tensor.dtype).removeprefix("torch."))
        if self._mapped and self._touched + _bytes(tensor) > self._largest:
            del tensor
            self._tensors, self._touched = {}, 0  # unmaps the file
            self._tensors, _ = self._load()
        tensor = self._tensors[key].detach()
        self._touched += _bytes(tensor)
        if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16 of its own, so the bits are handed over
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()


class Renamed:
    """A reader whose keys are shown under other names, those that are left out not at all.

    Args:
        reader: the open checkpoint.
        names: {name: key}.
    """

    def __init__(self, reader: Reader, names: Mapping[str, str]):
        self._reader, self._names, self.format = reader, names, reader.format
        self.metadata = getattr(reader, "metadata", {})

    def keys(self) -> list[str]:
        """Return the name of every tensor."""
        return list(self._names)

    def shape(self, key: str) -> Shape:
        """Return the shape of one tensor without reading it."""
        return self._reader.shape(self._names[key])

    def read(self, key: str) -> np.ndarray:
        """Read one tensor."""
        return self._reader.read(self._names[key])


@contextmanager
def open_checkpoint(source: str | Path) -> Iterator[Reader]:
    """Open a checkpoint without reading its tensors.

    Args:
        source: a .safetensors file, a .pt, .pth, .bin or .ckpt file of `torch.save` or `torch.jit.save`, a .npz file,
            or the `.index.json` of a checkpoint in several such files. Containers and prefixes of training code
            (`wrappers.WEIGHTS`, and those of compiled and sharded modules) are removed. Behind ":" stands which
            weights to take where there are several, as in "FILE:model_ema".

    Returns:
        A context manager of a reader with `keys()`, `shape(key)`, `read(key)`, `format`, the kind of file, and
        `metadata`, the texts that a .safetensors file holds.

    Raises:
        UserError: the file is missing, damaged, of another kind or needs PyTorch, which is not installed, or it holds
            several sets of weights and none is chosen.
    """
    path, entry = split_entry(source)
    if path.is_dir():
        raise UserError(f"checkpoint {path} is a directory; name the file inside it, one of {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise UserError(f"checkpoint file {path} does not exist; check the path")
    with ExitStack() as stack:
        if path.name.endswith(INDEX_SUFFIX):
            files = read_index(path)
            readers = {name: stack.enter_context(_open_file(path.with_name(name))) for name in set(files.values())}
            reader: Any = ShardedReader(path, files, readers)
        else:
            reader = stack.enter_context(_open_file(path, entry))
        yield Renamed(reader, plain_names(reader.keys(), getattr(reader, "entry", entry), path))


@contextmanager
def _open_file(path: Path, entry: str = "") -> Iterator[Reader]:
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
            yield TorchScriptReader(archive, path)
    elif path.suffix in TORCH_SUFFIXES:
        # Files older than the zip format (torch 1.6) cannot be mapped and are in memory as a whole.
        mapped = zipfile.is_zipfile(path)
        yield _TorchReader(lambda: _tensors(_load_torch(path, mapped=mapped), entry, path), path, mapped=mapped)
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
    except Exception as error:  # a damaged pickle can raise anything
        raise UserError(
            f"checkpoint file {path} is damaged, incomplete or not readable by this PyTorch; download it again, or "
            "save it with torch.save in its present format"
        ) from error


def _tensors(content: Any, entry: str, path: Path) -> tuple[dict[str, Any], str]:
    import torch

    content, entry = unwrap(content, entry, path)
    if not isinstance(content, Mapping) or not content:
        raise UserError(
            f"checkpoint file {path} holds no dictionary of tensors; save the model's state_dict() and convert that"
        )
    strange = next((key for key, value in content.items() if not isinstance(value, torch.Tensor)), None)
    if strange is not None:
        raise UserError(
            f"entry {strange!r} of checkpoint file {path} is not a tensor; save the state_dict() alone and convert that"
        )
    return dict(content), entry


def _bytes(tensor: Any) -> int:
    return tensor.numel() * tensor.element_size()


def _no_floats(key: str, path: Path, found: str) -> UserError:
    return UserError(f"{key!r} of {path} holds {found}, not floats of 16 bits or more; use an unquantised checkpoint")
