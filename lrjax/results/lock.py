"""A directory that one run at a time writes to."""

import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import jax
import numpy as np

from lrjax.errors import UserError
from lrjax.sharding import from_first

LOCK_FILE = ".lock"
_UNFINISHED = f".*.{'[0-9a-f]' * 32}.tmp"  # as `results.write_atomically` names them
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)
_HOLDER = re.compile(r"lrjax run: host (\S+), process (\d+), boot (\S+)\n")


@contextmanager
def locked(directory: str | os.PathLike) -> Iterator[None]:
    """Keeps other runs out of a directory, and removes the unfinished files that a killed one has left in it.

    The lock is the system's, which frees it however the process ends; the file says who holds it. Hosts may not share
    such locks, so the file of a run that another host has not ended in good order keeps this one out. Of several
    processes the first holds the lock.

    Args:
        directory: created where missing, and removed at the end if it is empty.

    Raises:
        UserError: another run writes to the directory, it is a file, its file system has no locks, or its file `.lock`
            is another program's.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file; name a directory in config.workdir")
    file = _acquire(directory) if jax.process_index() == 0 else None
    if not from_first(np.array(file is not None)):
        raise UserError(
            f"another run writes to {directory}{_holder(directory)}; wait for its end, or set another config.workdir"
        )
    try:
        if file is not None:
            for left in directory.rglob(_UNFINISHED):
                left.unlink(missing_ok=True)
        yield
    finally:
        if file is not None:
            _release(directory, file)


def _acquire(directory: Path) -> int | None:
    """Returns the open lock file; None where another process holds it."""
    path = directory / LOCK_FILE
    while True:
        directory.mkdir(parents=True, exist_ok=True)
        file, is_new = _open(path)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _is_at(path, file):  # its last holder removed it between our two calls
                os.close(file)
                continue
            _take(path, file, is_new=is_new)
            return file
        except BlockingIOError:
            os.close(file)
            return None
        except OSError as error:
            os.close(file)
            if error.errno not in _NO_LOCKS:
                raise
            raise UserError(
                f"the file system of {directory} has no locks ({error.strerror}); set config.workdir to a directory on "
                "another one, or mount it with locks"
            ) from error
        except UserError:
            os.close(file)
            raise


def _open(path: Path) -> tuple[int, bool]:
    """Returns the open file, and whether it is new."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe is not waited for
    try:
        with suppress(FileExistsError):
            return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o644), True
        file = os.open(path, flags | os.O_CREAT, 0o644)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        raise _foreign(path) from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise _foreign(path)
    return file, False


def _take(path: Path, file: int, *, is_new: bool) -> None:
    """Writes who holds the lock into its file, unless that is another program's: an old and empty one may be."""
    text = _text(file)
    holder = _HOLDER.fullmatch(text)
    if text and holder is None:
        raise _foreign(path)
    if holder is not None and holder[1] != socket.gethostname() and holder[3] != _boot():
        raise UserError(
            f"a run on host {holder[1]} (process {holder[2]}) has not freed {path.parent}; wait for its end, or remove "
            f"{path} if it was killed"
        )
    if is_new or holder is not None:
        os.ftruncate(file, 0)
        os.pwrite(file, _me().encode(), 0)


def _foreign(path: Path) -> UserError:
    return UserError(f"{path} is another program's; remove it, or set another config.workdir")


def _release(directory: Path, file: int) -> None:
    if _is_at(directory / LOCK_FILE, file) and _text(file) == _me():
        (directory / LOCK_FILE).unlink()
    os.close(file)
    with suppress(OSError):  # it holds something, or was removed under the run
        directory.rmdir()


def _is_at(path: Path, file: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _holder(directory: Path) -> str:
    """Who holds the lock, as far as the file tells."""
    with suppress(OSError):
        if match := _HOLDER.fullmatch((directory / LOCK_FILE).read_text(errors="replace")):
            return f" (host {match[1]}, process {match[2]})"
    return ""


def _text(file: int) -> str:
    return os.pread(file, 1000, 0).decode(errors="replace")


def _me() -> str:
    return f"lrjax run: host {socket.gethostname()}, process {os.getpid()}, boot {_boot()}\n"


def _boot() -> str:
    """Identifies the running system, which containers of one host share as they share its locks."""
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"of {socket.gethostname()}"
