"""Digests of files, remembered between runs: a file is read for its digest once, and only looked at from then on.

The memory is `digests.sqlite` in `$XDG_CACHE_HOME/lrjax`, `~/.cache/lrjax` by default. It may be deleted at any time.
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lrjax.checks.files import open_regular
from lrjax.display.progress import Progress
from lrjax.errors import UserError

_LOG = logging.getLogger(__name__)

_THREADS = 16  # they wait for disks and networks
_RACY = 2 * 10**9  # nanoseconds: the time stamps of no file system are coarser
_PAUSE = 5  # seconds from one write to the next: an interrupted start goes on near where it was
_KEPT = 4 * 2**20  # digests, 100 bytes each
_ASKED = 500  # keys in one query; older versions of SQLite take 999


class _Version(NamedTuple):
    """A version of a file: a hash of what tells it from others without reading it, and when it was made."""

    key: bytes
    changed: int  # nanoseconds since the epoch


def digests(paths: Iterable[str | os.PathLike]) -> list[str]:
    """Returns the SHA-256 of the content of every file, in hexadecimal.

    A digest is remembered for later processes while path, size, inode and times of the file stay. That of a file that
    was changed within two seconds before it was read is not: its next change may get the same times.

    Args:
        paths: of regular files.

    Raises:
        UserError: a file is gone, is no regular one, or cannot be read.
    """
    names = [os.fspath(path) for path in paths]
    real = functools.cache(_real)
    pool = concurrent.futures.ThreadPoolExecutor(_THREADS)
    with contextlib.closing(_Memory()) as memory:
        try:
            keys = [version.key for version in _map(pool, functools.partial(_look, real), names)]
            known = memory.find(keys)
            missing = {key: name for key, name in zip(keys, names, strict=True) if key not in known}
            known |= _hash(missing, _map(pool, functools.partial(_read, real), list(missing.values())), memory)
        finally:
            pool.shutdown(cancel_futures=True)
    return [known[key].hex() for key in keys]


def _hash(
    missing: Mapping[bytes, str], read: Iterable[tuple[bytes, bytes | None]], memory: "_Memory"
) -> dict[bytes, bytes]:
    """The digests of files that the memory has not, as they are read; the lasting ones are remembered."""
    found, new, written = {}, {}, time.monotonic()
    hidden = not _LOG.isEnabledFor(logging.INFO)
    told = Progress("images are hashed", len(missing), unit="file", over=read, delay=2, hidden=hidden)
    try:
        for key, (digest, lasting) in zip(missing, told, strict=True):
            found[key] = digest
            if lasting is not None:
                new[lasting] = digest
            if time.monotonic() - written > _PAUSE:
                memory.add(new)
                new, written = {}, time.monotonic()
    finally:
        memory.add(new)
    return found


def _map(pool: concurrent.futures.Executor, function: Callable[[str], Any], names: Sequence[str]) -> Iterator[Any]:
    """`function` of every name, in order; a task for each of many small files would cost more than reading it."""
    size = max(1, min(256, len(names) // (4 * _THREADS)))
    parts = [names[start : start + size] for start in range(0, len(names), size)]
    for found in pool.map(lambda part: [function(name) for name in part], parts):
        yield from found


def _real(folder: str) -> str:
    return os.path.realpath(folder)


def _look(real: Callable[[str], str], name: str) -> _Version:
    try:
        return _version(real, name, os.stat(name))
    except OSError as error:
        raise _unreadable(name, error) from error


def _read(real: Callable[[str], str], name: str) -> tuple[bytes, bytes | None]:
    """The digest of a file, and the key of the version that was read; None where it may be that of another as well."""
    started = time.time_ns()
    try:
        with open_regular(name) as file:
            digest = hashlib.file_digest(file, "sha256").digest()
            version = _version(real, name, os.fstat(file.fileno()))
    except OSError as error:
        raise _unreadable(name, error) from error
    return digest, version.key if version.changed < started - _RACY else None


def _version(real: Callable[[str], str], name: str, found: os.stat_result) -> _Version:
    folder, base = os.path.split(name)
    # st_ctime_ns, too, for editors may give a changed file the time of modification that it had.
    text = f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {real(folder)}/{base}"
    key = hashlib.blake2b(os.fsencode(text), digest_size=16)
    return _Version(key.digest(), max(found.st_mtime_ns, found.st_ctime_ns))


def _unreadable(name: str, error: OSError) -> UserError:
    return UserError(
        f"image file '{name}' cannot be read ({error.strerror}); bring it back or mend this, and start again"
    )


class _Memory:
    """Digests by key in a file that all processes share; without it, or with a damaged one, nothing is remembered."""

    def __init__(self) -> None:
        self._open: sqlite3.Connection | None = None
        with self._guarded():
            folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lrjax"
            folder.mkdir(parents=True, exist_ok=True)
            self.path = folder / "digests.sqlite"
            self._open = sqlite3.connect(self.path, timeout=30)
            self._open.execute("CREATE TABLE IF NOT EXISTS digests (key BLOB PRIMARY KEY, digest BLOB)")

    def find(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Returns the digests that are known."""
        found: dict[bytes, bytes] = {}
        for start in range(0, len(keys), _ASKED):
            asked = keys[start : start + _ASKED]
            with self._guarded():
                if self._open is not None:
                    places = ",".join("?" * len(asked))
                    rows = self._open.execute(f"SELECT key, digest FROM digests WHERE key IN ({places})", asked)
                    found |= {key: one[:32] for key, one in rows if _is_whole(key, one)}
        return found

    def add(self, new: Mapping[bytes, bytes]) -> None:
        """Remembers digests, and forgets the oldest where there are too many."""
        with self._guarded():
            if self._open is not None and new:
                with self._open:
                    rows = [(key, _sealed(key, digest)) for key, digest in new.items()]
                    self._open.executemany("REPLACE INTO digests VALUES (?, ?)", rows)
                    self._open.execute(f"DELETE FROM digests WHERE rowid <= (SELECT max(rowid) FROM digests) - {_KEPT}")

    def close(self) -> None:
        """Closes the file."""
        if self._open is not None:
            self._open.close()

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, sqlite3.Error) as error:  # RuntimeError: there is no home
            damaged = type(error) is sqlite3.DatabaseError
            remedy = "it is made anew" if damaged else "set XDG_CACHE_HOME to a folder that can be written"
            _warn(f"digests of images are not remembered, so that all are read again ({error}); {remedy}")
            self.close()
            self._open = None
            if damaged:
                self.path.unlink(missing_ok=True)


def _is_whole(key: Any, sealed: Any) -> bool:
    return isinstance(key, bytes) and isinstance(sealed, bytes) and sealed == _sealed(key, sealed[:32])


@functools.cache
def _warn(text: str) -> None:
    _LOG.warning(text)  # once for all data sets


def _sealed(key: bytes, digest: bytes) -> bytes:
    """A digest as it is stored, with a hash that tells whether the file was damaged since."""
    return digest + hashlib.blake2b(key + digest, digest_size=8).digest()
