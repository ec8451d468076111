"""Files of users, read without surprises: regular files only, of a known place, texts with or without a mark."""

import errno
import io
import os
import posixpath
import stat
from pathlib import Path

from lrjax.errors import UserError

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFSOCK: "a socket"}


class NotRegularError(OSError):
    """What is at a path is a pipe, a device, a socket or a folder: to read it may never end."""


def open_regular(path: str | os.PathLike) -> io.BufferedReader:
    """Opens a regular file for reading, without waiting for what is at the other end of a pipe.

    Raises:
        NotRegularError: it is something else.
        OSError: it cannot be opened.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK))  # noqa: SIM115
    try:
        _check_mode(os.fstat(file.fileno()).st_mode, path)
    except NotRegularError:
        file.close()
        raise
    return file


def check_regular(path: str | os.PathLike) -> None:
    """Checks a file that a library opens by its path.

    Raises:
        NotRegularError: it is no regular file.
        OSError: it does not exist.
    """
    _check_mode(os.stat(path).st_mode, path)


def _check_mode(mode: int, path: str | os.PathLike) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a folder")
        raise NotRegularError(errno.EINVAL, f"it is {kind}, not a regular file", os.fspath(path))


def read_regular(path: str | os.PathLike) -> bytes:
    """Returns the content of a regular file.

    Raises:
        OSError: as `open_regular`.
    """
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | os.PathLike) -> str:
    """Returns the UTF-8 text of a regular file, without the byte order mark that some programs put before it.

    Raises:
        OSError: as `open_regular`.
        ValueError: it is no UTF-8.
    """
    return read_regular(path).decode("utf-8-sig")


def check_inside(name: str, *, place: str) -> None:
    """Checks that a relative path stays in the folder where it starts; what links in it lead to is up to the user.

    Args:
        name: the path.
        place: what names it, for the error.

    Raises:
        UserError: it is absolute, or leaves the folder by "..".
    """
    normal = posixpath.normpath(name)
    if Path(name).is_absolute() or normal == ".." or normal.startswith("../"):
        raise UserError(f"{place} names '{name}', which is outside of its folder; write a path below it")
