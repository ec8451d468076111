"""One run at a time writes to a directory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lrjax.errors import UserError
from lrjax.lock import LOCK_FILE, locked

ROOT = Path(__file__).parents[1]
HOLD = (
    "import sys; from lrjax.lock import locked\n"
    "with locked(sys.argv[1]):\n    print('held', flush=True)\n    sys.stdin.read()"
)


def test_a_second_run_is_refused_until_the_first_ends_or_dies(tmp_path):
    run = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with (
        pytest.raises(UserError, match=rf"^another run writes to {run}; wait for its end, or set another"),
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
