"""A directory that one run at a time writes to."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
import numpy as np

from lrjax.errors import UserError
from lrjax.sharding import from_first

LOCK_FILE = ".lock"
_UNFINISHED = f".*.{'[0-9a-f]' * 32}.tmp"  # as `results.write_atomically` names them


@contextmanager
def locked(directory: str | os.PathLike) -> Iterator[None]:
    """Keeps other runs out of a directory, and removes the unfinished files that a killed one has left in it.

    The lock is the system's, which frees it however the process ends. Of several processes the first holds it.

    Args:
        directory: created where missing, and removed at the end if it is empty.

    Raises:
        UserError: another run writes to the directory, or it is a file.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; name a directory in config.workdir")
    file = _acquire(directory) if jax.process_index() == 0 else None
    if not from_first(np.array(file is not None)):
        raise UserError(f"another run writes to {directory}; wait for its end, or set another config.workdir")
    try:
        if file is not None:
            for left in directory.rglob(_UNFINISHED):
                left.unlink()
        yield
    finally:
        if file is not None:
            (directory / LOCK_FILE).unlink()
            os.close(file)
            with suppress(OSError):  # it holds something
                directory.rmdir()


def _acquire(directory: Path) -> int | None:
    path = directory / LOCK_FILE
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return None
        if path.exists() and os.path.samestat(path.stat(), os.fstat(file)):
            return file
        os.close(file)  # its last holder removed it between our two calls
