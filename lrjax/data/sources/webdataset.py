"""Tar archives of images, read in place: WebDataset shards, and archives of class folders."""

import os
import posixpath
import re
import shlex
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lrjax.checks.files import open_regular, read_text
from lrjax.checks.parse import parse_json
from lrjax.data.images import FORMATS
from lrjax.data.source import Label
from lrjax.data.sources.base import ListedImages, as_labels
from lrjax.data.sources.tree import by_suffix, gaps, is_image
from lrjax.errors import UserError

_CLASS_NAMES = "classnames.txt"
_ARCHIVE = re.compile(r"\.(?:tar|(?:tar\.|t)(gz|bz2|xz|zst))$")
_UNPACKERS = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ\0": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
"""The program that unpacks a file, by the bytes with which it begins."""


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        shard: path of the archive.
        offset: of its first byte.
        size: in bytes.
    """

    shard: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """Returns the content, less where the archive ends; threads may do so at the same time.

        Raises:
            UserError: the archive cannot be read.
        """
        try:
            with open_regular(self.shard) as file:
                return os.pread(file.fileno(), self.size, self.offset)
        except OSError as error:
            raise UserError(
                f"archive '{self.shard}' cannot be read ({error.strerror}); mend this and start again"
            ) from error


class TarImages(ListedImages):
    """Images in tar archives, with their labels, without unpacking.

    With `.cls` or `.json` files, an archive is a WebDataset shard: `KEY.jpg` (or another image format) has its label, a
    number or a class name, in `KEY.cls`, or as "label" in `KEY.json`; `classnames.txt` in the shards, beside them or in
    the location names the numbers. Otherwise the label of an image is the path of its folder. Links to members of the
    same archive are what they lead to.

    Args:
        location: an archive, not compressed, or a folder of archives, whose names end in ".tar".
        split: folder of the archives below the location, where it has one.

    Raises:
        UserError: there is no archive, one is damaged, truncated or compressed, holds no image, holds an image twice,
            one without a label, a label without an image, or a link that leads to no member, or lists of class names
            differ.
    """

    def __init__(self, location: str | os.PathLike, *, split: str = "test"):
        self.files = shards = find_shards(Path(location), split)
        self.members: list[Member] = []
        ids, labels, others = [], [], []
        listed = _names_beside(shards[0].parent, Path(location))
        for shard in shards:
            files = _members(shard)
            found = _shard_rows(shard, files)
            if not found:
                raise UserError(f"archive '{shard}' holds no image; remove it, or add images")
            listed |= _names_inside(shard, files)
            prefix = f"{shard.stem}/" if len(shards) > 1 else ""
            others += [prefix + name for name, _ in files if not is_image(name) and name != _CLASS_NAMES]
            ids += [prefix + name for name, _, _ in found]
            labels += [label for _, label, _ in found]
            self.members += [member for _, _, member in found]
        if all(label is None for label in labels):
            labels = _folder_names(location, [one.split("/", 1)[1] if len(shards) > 1 else one for one in ids])
            self.form = "folder"
        elif any(name.lower().endswith(".cls") for name in others):
            self.form = "text"
        if missing := [one for one, label in zip(ids, labels, strict=True) if label is None]:
            raise UserError(f"image '{missing[0]}' of '{location}' has no label; add its .cls or .json")
        super().__init__(location, ids, labels, _agreed(listed))
        self.left_out = by_suffix(name for name in others if not name.lower().endswith((".cls", ".json")))
        self.gaps = gaps(self.left_out)

    def encoded(self, index: int) -> bytes:
        """Returns the encoded bytes of an image."""
        member = self.members[index]
        content = member.read()
        if len(content) < member.size:
            name = f"{self.location}/{self.ids[index]}"
            raise UserError(f"image '{name}' is cut off: '{member.shard}' changed while it was read; run again")
        return content


def find_shards(location: Path, split: str) -> list[Path]:
    """Returns the archives of a location, in the order of the numbers in their names.

    Args:
        location: an archive or a folder.
        split: folder of the archives below the location, where it has one; "test" is tried, too, for that is what
            CLIP-benchmark calls the split of all its data sets.

    Raises:
        UserError: there is none.
    """
    if location.is_file():
        return [location]
    for folder in (location, location / split, location / "test"):
        if found := archives(folder):
            return sorted(found, key=lambda path: [int(one) for one in re.findall(r"\d+", path.name)] + [0])
    raise UserError(f"'{location}' holds no archive *.tar; give an archive or a folder of archives")


def archives(folder: Path) -> list[Path]:
    """Returns the archives in a folder, of the compressed ones those that do not lie unpacked beside them."""
    found = {path for path in folder.glob("*.t*") if is_archive(path) and not path.is_dir()}
    return [path for path in found if _unpacked(path) == path or _unpacked(path) not in found]


def is_archive(path: Path) -> bool:
    """Tells by its name whether a file is a tar archive, compressed or not."""
    return _ARCHIVE.search(path.name) is not None


def _unpacked(path: Path) -> Path:
    return path.with_name(_ARCHIVE.sub(".tar", path.name))


def _shard_rows(shard: Path, files: Sequence[tuple[str, Member]]) -> list[tuple[str, Label | None, Member]]:
    images: dict[str, Member] = {}
    labels: dict[str, Label] = {}
    for name, member in files:
        key, suffix = _key(name), posixpath.splitext(name)[1].lower()
        if is_image(name):
            if name in images:
                raise UserError(f"archive '{shard}' holds image '{name}' twice; write it again with each image once")
            images[name] = member
        elif suffix == ".cls" or (suffix == ".json" and key not in labels):
            label = _label(member.read(), suffix, place=f"'{name}' of '{shard}'")
            if label is not None:
                labels[key] = label
    if not labels:
        return [(name, None, member) for name, member in images.items()]
    keys = [_key(name) for name in images]
    rows = [(key, labels.get(key), member) for key, member in zip(keys, images.values(), strict=True)]
    if len(set(keys)) < len(keys):
        raise UserError(f"archive '{shard}' holds two images of sample '{max(keys, key=keys.count)}'; keep one")
    if lonely := sorted(labels.keys() - set(keys)):
        there = ", ".join(name for name, _ in files if _key(name) == lonely[0])
        raise UserError(
            f"sample '{lonely[0]}' of archive '{shard}' has a label but no image in a format that is read ({there}; "
            f"{len(lonely)} such samples); give it an image ({', '.join(FORMATS)}), or leave it out"
        )
    return rows


def _members(shard: Path) -> list[tuple[str, Member]]:
    remedy = "fetch or write it again"
    files: list[tuple[str, Member | str]] = []  # a link is the name of what it leads to
    try:
        _refuse_compressed(shard)
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            for one in archive:
                name = posixpath.normpath(one.name)
                if one.isdir():
                    continue
                if one.issparse() or not (one.isfile() or one.islnk() or one.issym()):
                    raise UserError(
                        f"'{one.name}' of archive '{shard}' is a device, a pipe or sparse; write a plain file"
                    )
                files.append((name, Member(shard, one.offset_data, one.size) if one.isfile() else _target(one)))
        end = Member(shard, archive.offset, tarfile.BLOCKSIZE).read()
    except (OSError, tarfile.TarError) as error:
        raise UserError(f"archive '{shard}' cannot be read ({error}); {remedy}") from error
    if end != bytes(tarfile.BLOCKSIZE):  # tarfile takes a cut in a header, or between members, for the end
        raise UserError(f"archive '{shard}' is truncated; {remedy}")
    members = dict(files)
    visible = [name for name, _ in files if not posixpath.basename(name).startswith(".")]
    return [(name, _follow(shard, name, members)) for name in visible]


def _refuse_compressed(shard: Path) -> None:
    with open_regular(shard) as file:
        start = file.read(6)
    program = next((program for magic, program in _UNPACKERS.items() if start.startswith(magic)), None)
    if program is not None:
        packed, unpacked = shard, _unpacked(shard)
        moved = ""
        if unpacked == shard:
            packed = shard.with_name(f"{shard.name}.packed")
            moved = f"mv {shlex.quote(str(shard))} {shlex.quote(str(packed))} && "
        raise UserError(
            f"archive '{shard}' is compressed, but is read in place; unpack it with: "
            f"{moved}{program} -c < {shlex.quote(str(packed))} > {shlex.quote(str(unpacked))}"
        )


def _target(link: tarfile.TarInfo) -> str:
    """The name of what a link leads to; a hard link starts at the root of the archive, a symbolic one where it is."""
    start = posixpath.dirname(link.name) if link.issym() else ""
    return posixpath.normpath(posixpath.join(start, link.linkname))


def _follow(shard: Path, name: str, members: Mapping[str, Member | str]) -> Member:
    passed, target = {name}, members[name]
    while isinstance(target, str):
        if target in passed or target not in members:
            raise UserError(
                f"link '{name}' of archive '{shard}' leads to '{target}', which is no file of the archive; write the "
                "file itself"
            )
        passed.add(target)
        target = members[target]
    return target


def _key(name: str) -> str:
    folder, file = posixpath.split(name)
    return posixpath.join(folder, file.partition(".")[0])


def _label(content: bytes, suffix: str, *, place: str) -> Label | None:
    try:
        text = content.decode("utf-8-sig").strip()
        value = parse_json(text) if suffix == ".json" else text
    except ValueError as error:
        raise UserError(f"{place} is unreadable ({error}); write the archive again") from error
    if suffix == ".json":
        if not isinstance(value, dict) or value.get("label") is None:
            return None
        value = value["label"]
    return as_labels(value, place=place)


def _folder_names(location: str | os.PathLike, names: Sequence[str]) -> list[str]:
    folders = [PurePosixPath(name).parent for name in names]
    if flat := [name for name, folder in zip(names, folders, strict=True) if folder == PurePosixPath(".")]:
        raise UserError(
            f"image '{flat[0]}' of '{location}' is in no class folder and has no .cls or .json; "
            "give each class a folder"
        )
    above = os.path.commonpath([str(folder.parent) for folder in folders])
    return [str(folder.relative_to(above)) for folder in folders]


def _names_beside(*folders: Path) -> dict[str, list[str]]:
    path = next((path for folder in folders if (path := folder / _CLASS_NAMES).exists()), None)
    try:
        return {} if path is None else {f"'{path}'": _lines(read_text(path))}
    except (OSError, ValueError) as error:
        raise UserError(f"class names '{path}' cannot be read ({error}); mend or remove the file") from error


def _names_inside(shard: Path, files: Sequence[tuple[str, Member]]) -> dict[str, list[str]]:
    place, members = f"'{_CLASS_NAMES}' of '{shard}'", dict(files)
    try:
        return {place: _lines(members[_CLASS_NAMES].read().decode("utf-8-sig"))} if _CLASS_NAMES in members else {}
    except ValueError as error:
        raise UserError(f"class names {place} cannot be read ({error}); write the archive again") from error


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.rstrip().split("\n")]


def _agreed(listed: Mapping[str, list[str]]) -> list[str] | None:
    """The class names of all places, which must be the same."""
    if not listed:
        return None
    first = next(iter(listed))
    if other := next((place for place in listed if listed[place] != listed[first]), None):
        raise UserError(f"class names {first} and {other} differ; keep those that the numbers of the labels mean")
    return listed[first]
