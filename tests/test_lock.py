"""One run at a time writes to a directory."""

import errno
import fcntl
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from lrjax.errors import UserError
from lrjax.results.lock import LOCK_FILE, locked

ROOT = Path(__file__).parents[1]
HOLD = (
    "import sys; from lrjax.results.lock import locked\n"
    "with locked(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()"
)


def held_by(process):
    return re.escape(f"(host {socket.gethostname()}, process {process})")


def test_a_second_run_is_refused_until_the_first_ends_or_dies(tmp_path):
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(
            UserError, match=rf"^another run writes to {run} {held_by(holder.pid)}; wait for its end, or set"
        ),
        locked(run),
    ):
        raise AssertionError("both hold it")
    assert holder.poll() is None
    holder.kill()
    holder.wait()
    assert (run / LOCK_FILE).exists()  # it could not be removed
    with locked(run), pytest.raises(UserError, match="another run"), locked(run):
        raise AssertionError("both hold it")
    assert not run.exists()


def test_what_a_killed_run_left_unfinished_is_removed(tmp_path):
    run = tmp_path / "run"
    (run / "report" / "models").mkdir(parents=True)
    left = [run / f".results.jsonl.{'0a' * 16}.tmp", run / "report" / "models" / f".x.html.{'1b' * 16}.tmp"]
    kept = [run / "results.jsonl", run / "report" / "x.html", run / "mine.tmp", run / ".mine.tmp"]
    for path in (*left, *kept):
        path.write_text("x")
    with locked(run):
        assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert not (run / LOCK_FILE).exists()


def test_an_error_frees_it(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path / "run"):
        raise KeyError
    assert not (tmp_path / "run").exists()
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "results.jsonl").write_text("")
    assert os.listdir(tmp_path / "run") == ["results.jsonl"]


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe", "file"])
def test_a_file_of_another_program_is_refused_and_stays(tmp_path, kind):
    run, other = tmp_path / "run", tmp_path / "other"
    run.mkdir()
    path = run / LOCK_FILE
    if kind == "link":
        other.write_text("mine")
    if "link" in kind:
        path.symlink_to(other)
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("12345")
    before = path.lstat()
    with pytest.raises(UserError, match=r"\.lock is another program's; remove it, or set another"), locked(run):
        raise AssertionError("it was taken")
    assert os.path.samestat(path.lstat(), before) and other.exists() == (kind == "link")
    if kind in ("link", "file"):
        assert path.read_text() in ("mine", "12345")


def test_an_empty_file_that_was_there_is_locked_and_stays_empty(tmp_path):
    (tmp_path / LOCK_FILE).touch()
    with locked(tmp_path), pytest.raises(UserError, match="another run"), locked(tmp_path):
        raise AssertionError("both hold it")
    assert (tmp_path / LOCK_FILE).read_bytes() == b""


@pytest.mark.parametrize(
    ("host", "boot", "freed"),
    [("elsewhere", "another", False), ("elsewhere", None, True), (None, "another", True), (None, None, True)],
)
def test_a_run_that_another_host_did_not_end_keeps_others_out(tmp_path, host, boot, freed):
    (tmp_path / "results.jsonl").touch()
    path = tmp_path / LOCK_FILE
    with locked(tmp_path):
        text = path.read_text()
    mine = re.fullmatch(r"lrjax run: host (\S+), process \d+, boot (\S+)\n", text)
    path.write_text(f"lrjax run: host {host or mine[1]}, process 7, boot {boot or mine[2]}\n")
    if freed:
        with locked(tmp_path):
            assert path.read_text() == text
        assert not path.exists()
    else:
        with (
            pytest.raises(UserError, match=r"a run on host elsewhere \(process 7\) has not freed .*remove .*\.lock"),
            locked(tmp_path),
        ):
            raise AssertionError("both hold it")
        assert "elsewhere" in path.read_text()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with (
        pytest.raises(UserError, match=r"has no locks .*set config.workdir to a directory on another one"),
        locked(tmp_path),
    ):
        raise AssertionError("it was taken")


def test_a_directory_that_is_removed_under_a_run_is_no_error(tmp_path):
    run = tmp_path / "run"
    with locked(run):
        (run / LOCK_FILE).unlink()
        run.rmdir()
    with locked(run):
        (run / LOCK_FILE).unlink()
        (run / LOCK_FILE).write_text("another's")
    assert (run / LOCK_FILE).read_text() == "another's"
