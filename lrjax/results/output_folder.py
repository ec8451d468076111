"""Folders that commands write into: nothing is replaced or removed there but what they wrote themselves."""

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from lrjax.checks.parse import parse_json
from lrjax.errors import UserError
from lrjax.results.store import utf8, write_atomically

LIST = ".report.json"
"""Lists what was written into a folder: {command: {file: [SHA-256, ...]}}."""

_Listed = dict[str, dict[str, list[str]]]


def check_folder(folder: str | os.PathLike) -> None:
    """Checks that a folder can become a report, to be asked before long work.

    Args:
        folder: new, empty, or one that `write_files` wrote into; hidden files do not count.

    Raises:
        UserError: it is a file, or holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; name a directory for the report")
    if folder.is_dir() and not (folder / LIST).is_file() and any(one.name[0] != "." for one in folder.iterdir()):
        raise UserError(f"{folder} is not empty and holds no report; name another directory, or empty it")


def write_files(
    files: Mapping[str, str | bytes], folder: str | os.PathLike, *, command: str, replace: bool = False
) -> None:
    """Writes files; those that are there already must have been written by a command and unchanged since.

    Each file is replaced as a whole. An interrupted command is continued by the same command.

    Args:
        files: contents by path in the folder, in the order in which they are written.
        folder: created where missing.
        command: which command writes.
        replace: whether what else the same command wrote earlier is removed.

    Raises:
        UserError: a file is another's, was changed, or lies behind a link; nothing is written then.
    """
    folder, listed = Path(folder), _listed(Path(folder))
    contents = {name: utf8(one) if isinstance(one, str) else one for name, one in files.items()}
    for name, content in contents.items():
        if os.path.lexists(folder / name) and not _is_own(folder, name, {*_hashes(listed, name), _sha256(content)}):
            raise UserError(
                f"{folder / name} was not written by an earlier {command}, was changed since, or lies behind a link; "
                "move it away, or name another directory"
            )
        _check_parents(folder, name)
    earlier = listed.get(command, {})
    stale = [name for name in earlier if name not in files and _is_own(folder, name, set(earlier[name]))]
    new = {name: [_sha256(content)] for name, content in contents.items()}
    # before the first file, so that an interrupted command is forgotten nowhere
    both = {name: sorted({*earlier.get(name, ()), *new.get(name, ())}) for name in {**earlier, **new}}
    _list(folder, listed | {command: both})
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for name in stale if replace else ():
        (folder / name).unlink(missing_ok=True)
    _list(folder, listed | {command: new if replace else both | new})


def _check_parents(folder: Path, name: str) -> None:
    for parent in (folder / one for one in PurePosixPath(name).parents if one.name):
        if parent.is_symlink() or (parent.exists() and not parent.is_dir()):
            raise UserError(f"{parent} is a link or a file; remove it, or name another directory")


def _is_own(folder: Path, name: str, hashes: set[str]) -> bool:
    """Whether a path inside of the folder is a file with one of these contents, reached through no link."""
    path = PurePosixPath(name)
    outside = path.is_absolute() or ".." in path.parts
    if outside or any((folder / one).is_symlink() for one in path.parents if one.name):
        return False
    try:
        return stat.S_ISREG((folder / path).lstat().st_mode) and _sha256((folder / path).read_bytes()) in hashes
    except (OSError, ValueError):  # gone, unreadable, or no name of a file
        return False


def _hashes(listed: _Listed, name: str) -> set[str]:
    return {one for files in listed.values() for one in files.get(name, ())}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _list(folder: Path, listed: _Listed) -> None:
    write_atomically(folder / LIST, json.dumps(listed, indent=1, sort_keys=True) + "\n")


def _listed(folder: Path) -> _Listed:
    try:
        found = parse_json((folder / LIST).read_bytes())
    except (OSError, ValueError):
        return {}
    commands = found.items() if isinstance(found, dict) else ()
    return {command: _own_names(files) for command, files in commands if isinstance(files, dict)}


def _own_names(files: Mapping[str, object]) -> dict[str, list[str]]:
    return {name: list(map(str, hashes)) for name, hashes in files.items() if isinstance(hashes, list)}
