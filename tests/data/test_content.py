"""Digests of files: right whatever happened to the files or to the memory, and no file is read twice without need."""

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lrjax.checks.files import open_regular
from lrjax.data import content
from lrjax.errors import UserError
from on_disk import write


@pytest.fixture
def memory(tmp_path, monkeypatch):
    """The file of a memory of its own, which is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    content._warn.cache_clear()
    return tmp_path / "cache" / "lrjax" / "digests.sqlite"


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that are read."""
    found, original = [], content.open_regular

    def open_regular(path):
        found.append(os.path.basename(path))
        return original(path)

    monkeypatch.setattr(content, "open_regular", open_regular)
    return found


def later(monkeypatch, seconds):
    """From now on it is as much later for the module."""
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + int(seconds * 1e9), monotonic=time.monotonic)
    monkeypatch.setattr(content, "time", clock)


@pytest.fixture
def aged(monkeypatch):
    """Files that were just written count as old ones."""
    later(monkeypatch, 10)


def files(folder, count=5):
    return [write(folder / f"{number}", f"content of file {number}") for number in range(count)]


def expected(paths):
    return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]


@pytest.mark.usefixtures("memory")
def test_digests_are_those_of_the_contents_in_the_order_of_the_files(tmp_path):
    paths = [write(tmp_path / str(size), os.urandom(size)) for size in (0, 1, 300_000)]
    (tmp_path / "link").symlink_to("1")
    paths = [*paths[::-1], str(tmp_path / "link"), paths[0], *files(tmp_path / "many", 2000)]
    assert content.digests(paths) == content.digests(paths) == expected(paths)
    assert content.digests([]) == []


@pytest.mark.usefixtures("aged")
def test_a_second_start_reads_nothing(tmp_path, memory, reads):
    paths = files(tmp_path)
    first = content.digests(paths)
    assert sorted(reads) == ["0", "1", "2", "3", "4"]
    more = write(tmp_path / "new", "new")
    assert content.digests([*paths[::-1], more]) == [*first[::-1], *expected([more])]
    assert reads[5:] == ["new"]
    memory.unlink()
    assert content.digests(paths) == first
    assert len(reads) == 11


def in_place(path, new):
    with path.open("r+b") as file:
        file.write(new)


def replaced(path, new):
    write(path.with_suffix(".new"), new).replace(path)


@pytest.mark.usefixtures("memory", "aged")
@pytest.mark.parametrize("change", [in_place, replaced])
def test_a_change_that_keeps_size_and_time_is_found(tmp_path, change):
    paths = files(tmp_path)
    before, state = content.digests(paths), paths[2].stat()
    change(paths[2], b"content of FILE 2")
    os.utime(paths[2], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (paths[2].stat().st_size, paths[2].stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert content.digests(paths) == expected(paths) != before


@pytest.mark.usefixtures("memory")
@pytest.mark.parametrize(("seconds", "dated", "times"), [(0, 0, 2), (1.5, 0, 2), (2.5, 0, 1), (2.5, 1, 2), (10, 99, 2)])
def test_what_was_just_changed_is_read_again(tmp_path, monkeypatch, reads, seconds, dated, times):
    """A change within the same tick of the clock of a file system leaves no trace in the times of a file."""
    path = write(tmp_path / "x", "a")
    now = time.time_ns() + dated * 10**9
    os.utime(path, ns=(now, now))
    later(monkeypatch, seconds)
    for _ in range(2):
        content.digests([path])
    assert len(reads) == times


@pytest.mark.usefixtures("aged")
def test_a_memory_that_lies_is_not_believed(tmp_path, memory):
    paths = files(tmp_path)
    digests = content.digests(paths)
    with sqlite3.connect(memory) as connection:
        rows = dict(connection.execute("SELECT key, digest FROM digests"))
        keys = list(rows)
        for key, value in zip(keys, [rows[keys[1]], b"\0" + rows[keys[1]][1:], b"", None, 7], strict=True):
            connection.execute("UPDATE digests SET digest = ? WHERE key = ?", (value, key))
    connection.close()
    assert content.digests(paths) == digests == content.digests(paths)


@pytest.mark.usefixtures("aged")
def test_damage_anywhere_in_the_memory(tmp_path, memory):
    paths = files(tmp_path, 200)
    digests = content.digests(paths)
    whole = memory.read_bytes()
    for start in range(0, len(whole), len(whole) // 23):
        memory.write_bytes(whole[:start] + bytes(255 - one for one in whole[start : start + 99]) + whole[start + 99 :])
        assert content.digests(paths) == digests
        assert content.digests(paths) == digests
    for damaged in (b"", whole[:3000], whole[: len(whole) // 2], b"no database at all" * 100):
        memory.write_bytes(damaged)
        assert content.digests(paths) == digests


@pytest.mark.usefixtures("aged")
def test_a_damaged_memory_is_made_anew(tmp_path, memory, reads, caplog):
    write(memory, b"no database at all" * 100)
    paths = files(tmp_path)
    for _ in range(3):
        assert content.digests(paths) == expected(paths)
    assert len(reads) == 10
    assert [record.getMessage() for record in caplog.records] == [
        "digests of images are not remembered, so that all are read again (file is not a database); it is made anew"
    ]


@pytest.mark.usefixtures("aged")
@pytest.mark.parametrize("blocked", ["cache", "cache/lrjax", "cache/lrjax/digests.sqlite"])
def test_without_a_memory_every_start_reads(tmp_path, memory, reads, blocked):
    if blocked.endswith("sqlite"):
        memory.mkdir(parents=True)
    else:
        write(tmp_path / blocked, "a file where a folder must be")
    paths = files(tmp_path / "images")
    for _ in range(2):
        assert content.digests(paths) == expected(paths)
    assert len(reads) == 10


@pytest.mark.usefixtures("aged")
def test_a_memory_that_cannot_be_written_is_read(tmp_path, memory, reads):
    paths = files(tmp_path)
    content.digests(paths[:3])
    other = sqlite3.connect(memory)
    other.execute("PRAGMA user_version = 1")
    other.execute("CREATE TRIGGER full BEFORE INSERT ON digests BEGIN SELECT RAISE(FAIL, 'disk is full'); END")
    other.commit()
    other.close()
    for _ in range(2):
        assert content.digests(paths) == expected(paths)
    assert sorted(reads[3:]) == ["3", "3", "4", "4"]


@pytest.mark.usefixtures("aged")
def test_the_oldest_are_forgotten(tmp_path, memory, reads, monkeypatch):
    monkeypatch.setattr(content, "_KEPT", 3)
    paths = files(tmp_path)
    for path in paths:
        content.digests([path])
    with sqlite3.connect(memory) as connection:
        assert connection.execute("SELECT count(*) FROM digests").fetchone() == (3,)
    connection.close()
    content.digests(paths[2:])
    assert len(reads) == 5


@pytest.mark.usefixtures("memory", "aged")
def test_an_interrupted_start_goes_on_where_it_was(tmp_path, reads, monkeypatch):
    paths = files(tmp_path)
    with monkeypatch.context() as broken:
        broken.setattr(content, "open_regular", lambda path: open_regular("" if path.endswith("3") else path))
        with pytest.raises(UserError, match=r"image file '.*3' cannot be read \(No such file or directory\); bring it"):
            content.digests(paths)
    assert content.digests(paths) == expected(paths)
    assert sorted(reads) == ["3", "4"]


@pytest.mark.usefixtures("memory")
def test_a_file_that_is_gone(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("none", "folder"):
        with pytest.raises(UserError, match=rf"image file '.*{name}' cannot be read"):
            content.digests([tmp_path / name])


CODE = """
import sys, time, types
from lrjax.data import content
content.time = types.SimpleNamespace(time_ns=lambda: time.time_ns() + 10**10, monotonic=time.monotonic)
content._PAUSE = 0
print(*content.digests(sys.argv[1:]))
"""


@pytest.mark.usefixtures("aged", "memory")
def test_processes_share_a_memory(tmp_path, reads):
    paths = files(tmp_path, 300)
    command = [sys.executable, "-c", CODE, *map(str, paths)]
    root = Path(content.__file__).parents[2]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(3)]
    assert [one.communicate()[0].split() for one in running] == [expected(paths)] * 3
    assert content.digests(paths) == expected(paths)
    assert reads == []
