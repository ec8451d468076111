"""Records on disk: what a model said of every image of a source, kept for the next question within a bound."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from lrjax.results.store import npz_bytes, write_atomically

_LOG = logging.getLogger(__name__)


class Records:
    """A cache of records; beyond its bound those that were not used for longest are dropped, and made again when asked.

    Args:
        directory: where the files are; created by the first `add`.
        limit: bytes on disk; the record that was added last stays, whatever its size.
    """

    def __init__(self, directory: str | os.PathLike, *, limit: int):
        self.directory, self.limit = Path(directory), limit

    def has(self, key: str) -> bool:
        """Tells whether there is a record of a key."""
        return self._path(key).is_file()

    def find(self, key: str) -> dict[str, np.ndarray] | None:
        """Returns the record of a key (`store.content_key`), or None where there is none that can be read."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            with np.load(path, allow_pickle=False) as arrays:
                found = {name: arrays[name] for name in arrays.files}
            os.utime(path)
        except Exception as error:  # a damaged zip file raises BadZipFile, ValueError, EOFError, zlib.error, ...
            _LOG.warning("record %s is damaged (%s) and is made again", path, error)
            return None
        return found

    def add(self, key: str, record: Mapping[str, np.ndarray]) -> None:
        """Stores a record, and drops old ones beyond the bound; of several processes only process 0 may."""
        write_atomically(self._path(key), npz_bytes(record, compress=False))
        files = sorted(self.directory.glob("*.npz"), key=lambda path: path.stat().st_mtime_ns)
        excess = sum(path.stat().st_size for path in files) - self.limit
        for path in files:
            if excess <= 0 or path == self._path(key):
                break
            excess -= path.stat().st_size
            path.unlink()

    def _path(self, key: str) -> Path:
        return self.directory / f"{key}.npz"
