"""Orbax checkpoints written slice by slice, so that neither the tree nor a leaf of it is ever held whole.

Orbax itself writes whole leaves. Here it writes a tree of single elements, which gives the directory its form and its
metadata, and then every array gets its real shape, in chunks of one block or less. A chunk is a file of plain bytes:
compressing them saves a third of the disk for float32 made of float16 and little otherwise, and the buffers of the
compressor took more memory than the chunk.

Reference: https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from lrjax.sharding import FSDP, partition
from lrjax.types import Tree

Slice = tuple[str, int | None, np.ndarray]
"""Path of a leaf, index on its leading axis or None for the whole leaf, and the values."""

_STACKED = re.compile(r".*/(blocks|rest)/.*")
_PIECES = 8
_SPLIT_BYTES = 2**23


def write_checkpoint(path: Path, slices: Iterable[Slice], *, target: Tree) -> None:
    """Writes an Orbax checkpoint, which `orbax.checkpoint.StandardCheckpointer` restores.

    In memory is, besides what the iterator itself holds for the current slice (the source tensor that it is a view of),
    one chunk.

    Args:
        path: absolute path of the directory to make.
        slices: parts that fill every leaf; values are cast to the dtype of the leaf.
        target: nested dictionary that gives every leaf's shape and dtype.
    """
    leaves = dict(named_leaves(target))
    with _no_warnings(), ocp.StandardCheckpointer(use_ocdbt=False) as checkpointer:
        checkpointer.save(path, jax.tree.map(lambda leaf: np.zeros((1,) * len(leaf.shape), leaf.dtype), target))
    for name, leaf in leaves.items():
        _make_array(_folder(path, name), leaf, chunk_shape(name, leaf.shape, leaf.dtype.itemsize))
    for name, index, values in slices:
        leaf = leaves[name]
        first, shape = (0, leaf.shape) if index is None else (index, (1, *leaf.shape[1:]))
        chunk = chunk_shape(name, leaf.shape, leaf.dtype.itemsize)
        _write_chunks(_folder(path, name), values.reshape(shape), chunk, leaf.dtype, first=first)
        del values  # a view of the source tensor, which is released before the next one is read


def named_leaves(tree: Tree) -> Iterator[tuple[str, Any]]:
    """Yields the '/'-joined path and the value of every leaf."""
    for path, leaf in jax.tree.flatten_with_path(tree)[0]:
        yield jax.tree_util.keystr(path, simple=True, separator="/"), leaf


def chunk_shape(name: str, shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Returns the shape of the chunks of a leaf: one block, and where that is large an eighth of the axis that FSDP
    shards, so that up to eight devices read nothing but their own part.

    Args:
        name: path of the leaf.
        shape: its shape.
        itemsize: bytes of an element.
    """
    chunk = list(shape)
    if _STACKED.fullmatch(name):
        chunk[0] = 1
    if math.prod(chunk) * itemsize >= _SPLIT_BYTES:
        for axis, sharded in enumerate(partition(name, FSDP)):
            if sharded is not None and shape[axis] % _PIECES == 0:
                chunk[axis] //= _PIECES
    return tuple(chunk)


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Orbax warns that it finds no files of several processes to merge, which it never makes without OCDBT."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _folder(path: Path, name: str) -> Path:
    return path / name.replace("/", ".")


def _make_array(folder: Path, leaf: jax.ShapeDtypeStruct, chunk: tuple[int, ...]) -> None:
    """Gives the array that Orbax has written into a folder the shape of a leaf, and removes its single element."""
    metadata = json.loads((folder / ".zarray").read_text())
    for file in folder.iterdir():
        file.unlink()
    metadata |= {"shape": leaf.shape, "chunks": chunk, "compressor": None}
    (folder / ".zarray").write_text(json.dumps(metadata))


def _write_chunks(folder: Path, values: np.ndarray, chunk: tuple[int, ...], dtype: np.dtype, *, first: int) -> None:
    """Writes whole chunks, of which `values` holds a whole number; `first` is its place on the leading axis."""
    for place in np.ndindex(*(size // side for size, side in zip(values.shape, chunk, strict=True))):
        part = values[tuple(slice(n * side, (n + 1) * side) for n, side in zip(place, chunk, strict=True))]
        numbers = (place[0] + first, *place[1:]) if place else (0,)  # a scalar is the chunk "0"
        with (folder / ".".join(map(str, numbers))).open("wb") as file:
            file.write(_content(part, dtype))
            os.fsync(file.fileno())


def _content(part: np.ndarray, dtype: np.dtype) -> memoryview:
    block = np.empty(part.shape, dtype)
    np.copyto(block, part, casting="unsafe")
    return block.reshape(-1).view(np.uint8).data
