"""Finished parts of a long sweep on disk, so that an interrupted one goes on where it was."""

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lrjax.errors import UserError
from lrjax.results.store import npz_bytes, write_atomically


class Parts:
    """The parts of one sweep, one npz file each.

    Args:
        directory: where the files are; created by the first `add`.
        key: hash of all that determines the arrays (`store.content_key`); it becomes a part of the file names.
    """

    def __init__(self, directory: str | os.PathLike, key: str):
        self.directory, self.key = Path(directory), key

    def has(self, part: str) -> bool:
        """Tells whether a part is finished."""
        return self._path(part).exists()

    def get(self, part: str) -> dict[str, np.ndarray]:
        """Returns the arrays of a finished part.

        Raises:
            UserError: the file is missing or damaged.
        """
        path = self._path(part)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except FileNotFoundError as error:
            raise UserError(f"{path} is missing; give all processes of a run the same working directory") from error
        except Exception as error:  # a damaged zip file raises BadZipFile, ValueError, EOFError, zlib.error, ...
            raise UserError(f"{path} is damaged ({error}); delete it and run again") from error

    def add(self, part: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Stores a finished part; in a run with several processes only process 0 may."""
        write_atomically(self._path(part), npz_bytes(arrays, compress=False))

    def clear(self) -> None:
        """Deletes all parts of this sweep, once its records are stored."""
        for path in self.directory.glob(f"{self.key}-*.npz"):
            path.unlink()

    @staticmethod
    def clear_all(directory: str | os.PathLike) -> None:
        """Deletes the parts of all sweeps, once a run is finished: a kill may have left some of finished ones."""
        for path in Path(directory).glob("*.npz"):
            path.unlink()

    def _path(self, part: str) -> Path:
        return self.directory / f"{self.key}-{part}.npz"
