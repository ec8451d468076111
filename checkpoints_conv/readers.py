"""Checkpoint files opened lazily: keys and shapes at once, one tensor when it is asked for."""

import pickle
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import safetensors

from checkpoints_conv.rules import Reader, Shape
from lrjax.errors import UserError

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
SUFFIXES = (".safetensors", *TORCH_SUFFIXES)

_CONTAINERS = ("state_dict", "model", "module")
_PARALLEL_PREFIX = "module."


class _SafetensorsReader:
    format = "safetensors"

    def __init__(self, handle: Any):
        self._handle = handle
        self._keys = list(handle.keys())

    def keys(self) -> list[str]:
        return self._keys

    def shape(self, key: str) -> Shape:
        return tuple(self._handle.get_slice(key).get_shape())

    def read(self, key: str) -> np.ndarray:
        return self._handle.get_tensor(key)


class _TorchReader:
    format = "torch"

    def __init__(self, tensors: Mapping[str, Any]):
        self._tensors = tensors

    def keys(self) -> list[str]:
        return list(self._tensors)

    def shape(self, key: str) -> Shape:
        return tuple(self._tensors[key].shape)

    def read(self, key: str) -> np.ndarray:
        import torch

        tensor = self._tensors[key].detach()
        if tensor.dtype == torch.bfloat16:  # numpy has no bfloat16 of its own, so the bits are handed over
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()


@contextmanager
def open_checkpoint(path: str | Path) -> Iterator[Reader]:
    """Open a checkpoint file without reading its tensors.

    Args:
        path: a .safetensors file, or a .pt, .pth or .bin file of `torch.save`. Containers ("state_dict", "model",
            "module") and the prefix "module." of data-parallel training are removed.

    Returns:
        A context manager of a reader with `keys()`, `shape(key)`, `read(key)` and `format` ("safetensors" or "torch").

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
            yield _SafetensorsReader(handle)
    elif path.suffix in TORCH_SUFFIXES:
        yield _TorchReader(_unwrap(_load_torch(path), path))
    else:
        raise UserError(f"checkpoint file {path} has an unknown suffix; use one of {', '.join(SUFFIXES)}")


def _load_torch(path: Path) -> Any:
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(name.split("/")[-1] == "constants.pkl" for name in archive.namelist()):
                raise UserError(
                    f"checkpoint file {path} is a TorchScript archive, a layout that is not supported; "
                    "save its state_dict() as .safetensors and convert that file"
                )
    try:
        import torch
    except ImportError as error:
        raise UserError(
            f"reading {path} needs PyTorch; run `pip install torch`, or use this checkpoint as .safetensors"
        ) from error
    try:
        # Files older than the zip format (torch 1.6) cannot be memory-mapped.
        return torch.load(path, weights_only=True, mmap=zipped, map_location="cpu")
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
    if all(key.startswith(_PARALLEL_PREFIX) for key in content):
        return {key.removeprefix(_PARALLEL_PREFIX): value for key, value in content.items()}
    return dict(content)
