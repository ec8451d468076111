"""Checkpoints in several files, with an index that says which tensor lies in which (`*.index.json`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from checkpoints_conv.rules import Reader, Shape
from lrjax.checks.parse import parse_json
from lrjax.errors import UserError

INDEX_SUFFIX = ".index.json"


def read_index(path: Path) -> dict[str, str]:
    """Return the name of the file of every tensor.

    Args:
        path: the index.

    Raises:
        UserError: it is damaged, or a file is missing.
    """
    try:
        files = parse_json(path.read_bytes())["weight_map"]
        if not files or not all(isinstance(name, str) and "/" not in name for name in files.values()):
            raise ValueError("no names of files")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"index {path} is damaged or no index of a checkpoint; download it again") from error
    return files


class ShardedReader:
    """The tensors of several open files.

    Args:
        path: the index, for messages.
        files: of `read_index`.
        readers: the open files by name.

    Raises:
        UserError: a file lacks a tensor.
    """

    def __init__(self, path: Path, files: dict[str, str], readers: dict[str, Reader]):
        present = {name: set(reader.keys()) for name, reader in readers.items()}
        lost = next((key for key, file in files.items() if key not in present[file]), None)
        if lost is not None:
            raise UserError(
                f"{path.with_name(files[lost])} lacks {lost!r}, which {path.name} expects; download it again"
            )
        self._readers = {key: readers[file] for key, file in files.items()}
        self.format = next(iter(readers.values())).format

    def keys(self) -> Sequence[str]:
        """Return the key of every tensor."""
        return list(self._readers)

    def shape(self, key: str) -> Shape:
        """Return the shape of one tensor without reading it."""
        return self._readers[key].shape(key)

    def read(self, key: str) -> np.ndarray:
        """Read one tensor."""
        return self._readers[key].read(key)
